//! How kinds and resources are named on the command line: in any case, singular or plural, as one word or as two.

use lgsp_shared::resource::{Kind, ResourceKey};

use super::failure::{Exit, Failure};
use super::shown;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Everything.
    All,
    /// All of a kind.
    Kind(Kind),
    /// One resource.
    One(ResourceKey),
}

/// A kind as people write it: `routes`, `Route`, `agencies`.
pub fn kind(text: &str) -> Option<Kind> {
    let singular = match text.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => text.strip_suffix('s').unwrap_or(text).to_owned(),
    };
    Kind::parse(text).or_else(|| Kind::parse(&singular))
}

/// Nothing, `routes`, `Route/ho-tich`, or `route ho-tich`.
pub fn what(words: &[String]) -> Result<What, Failure> {
    match words {
        [] => Ok(What::All),
        [word] if !word.contains('/') => kind(word).map(What::Kind).ok_or_else(|| unknown(word)),
        _ => match keys(words)?.as_slice() {
            [key] => Ok(What::One(key.clone())),
            _ => {
                let hint = "Name a kind, or one resource as `KIND/NAME`.";
                Err(Failure::new(Exit::Usage, format!("`{}` are several resources", words.join(" ")), hint))
            }
        },
    }
}

/// Resources: each as `KIND/NAME`, or a kind and then names of it.
pub fn keys(words: &[String]) -> Result<Vec<ResourceKey>, Failure> {
    match words {
        [first, names @ ..] if !first.contains('/') => {
            let kind = kind(first).ok_or_else(|| unknown(first))?;
            if names.is_empty() {
                let message = format!("`{first}` is a kind, and no resource is named");
                return Err(Failure::new(Exit::Usage, message, format!("Write `{kind}/NAME` or `{kind} NAME`.")));
            }
            names.iter().map(|name| key(kind, name)).collect()
        }
        words => words.iter().map(|word| one(word)).collect(),
    }
}

fn one(word: &str) -> Result<ResourceKey, Failure> {
    let (text, name) = word.split_once('/').ok_or_else(|| unknown(word))?;
    key(kind(text).ok_or_else(|| unknown(word))?, name)
}

fn key(kind: Kind, name: &str) -> Result<ResourceKey, Failure> {
    let bad = |error| {
        let message = format!("`{}` is not the name of a resource: {error}", shown::inline(name));
        Failure::new(Exit::Usage, message, format!("`lgspctl get {kind} -o name` lists the names."))
    };
    Ok(ResourceKey { kind, name: name.parse().map_err(bad)? })
}

fn unknown(word: &str) -> Failure {
    let known = Kind::ALL.map(Kind::as_str).join("`, `");
    let message = format!("`{}` is neither a kind nor `KIND/NAME`", shown::inline(word));
    Failure::new(Exit::Usage, message, format!("Kinds are `{known}`."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn kinds_are_understood_as_people_write_them() {
        for (text, kind) in [
            ("routes", Kind::Route),
            ("Agency", Kind::Agency),
            ("agencies", Kind::Agency),
            ("defaults", Kind::Defaults),
        ] {
            assert_eq!(what(&words(text)).unwrap(), What::Kind(kind), "{text}");
        }
        assert_eq!(what(&[]).unwrap(), What::All);
        for text in ["routes/ho-tich", "Route/ho-tich", "route ho-tich"] {
            assert!(matches!(what(&words(text)), Ok(What::One(key)) if key.to_string() == "Route/ho-tich"), "{text}");
        }
        for bad in ["mood", "route/A", "/a", "route a b", "Route/a Route/b", "a b"] {
            assert_eq!(what(&words(bad)).unwrap_err().exit, Exit::Usage, "{bad}");
        }
        assert!(what(&[String::new()]).is_err());
    }

    #[test]
    fn resources_to_remove_are_named_in_the_same_ways() {
        let named =
            |text: &str| keys(&words(text)).map(|keys| keys.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(named("systems/s Agency/a").unwrap(), ["System/s", "Agency/a"]);
        assert_eq!(named("systems s t").unwrap(), ["System/s", "System/t"]);
        for bad in ["s", "systems", "System/s t", "System/"] {
            assert!(named(bad).is_err(), "{bad}");
        }
        assert!(named("s").unwrap_err().hint.unwrap().contains("`System`"));
    }
}
