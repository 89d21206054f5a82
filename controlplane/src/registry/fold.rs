//! What search compares: text without accents, case and punctuation, so that `so tu phap` finds `Sở Tư pháp`.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The longest query, in characters; longer than any name people type.
pub const QUERY_CHARS_MAX: usize = 200;
/// The most words of a query; each costs one comparison per agency looked at.
pub const QUERY_WORDS_MAX: usize = 8;

/// Folds: lower case, no marks, `đ` as `d`, letters, digits and dots kept, everything else one space.
///
/// Folding what is folded changes nothing, and no character that SQL's `LIKE` treats specially survives.
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let lower = text.chars().flat_map(char::to_lowercase).nfd().filter(|letter| !is_combining_mark(*letter));
    for letter in lower.flat_map(char::to_lowercase) {
        match letter {
            // The stroke is part of the letter: no decomposition takes it away.
            'đ' => folded.push('d'),
            letter if letter.is_alphanumeric() || letter == '.' => folded.push(letter),
            _ if folded.ends_with(' ') || folded.is_empty() => {}
            _ => folded.push(' '),
        }
    }
    folded.truncate(folded.trim_end().len());
    folded
}

/// A folded query.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    whole: String,
}

/// A query longer than anybody types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the query has more than {QUERY_CHARS_MAX} characters or {QUERY_WORDS_MAX} words; shorten it")]
pub struct QueryTooLong;

impl Query {
    /// Reads what somebody typed; nothing typed finds everything.
    pub fn parse(text: &str) -> Result<Self, QueryTooLong> {
        if text.chars().count() > QUERY_CHARS_MAX {
            return Err(QueryTooLong);
        }
        let query = Self { whole: fold(text) };
        if query.words().count() > QUERY_WORDS_MAX { Err(QueryTooLong) } else { Ok(query) }
    }

    /// All of it: what a name that starts so is ranked first for.
    pub fn whole(&self) -> &str {
        &self.whole
    }

    /// The words, each of which has to be in what is found.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.whole.split(' ').filter(|word| !word.is_empty())
    }
}

/// A name for a document made of a title: `so-tu-phap` of `Sở Tư pháp`.
pub fn slug(title: &str) -> String {
    const SLUG_BYTES_MAX: usize = lgsp_shared::id::NAME_BYTES_MAX - 8;
    let ascii: String = fold(title)
        .chars()
        .map(|letter| if letter.is_ascii_lowercase() || letter.is_ascii_digit() { letter } else { '-' })
        .take(SLUG_BYTES_MAX)
        .collect();
    let parts: Vec<&str> = ascii.split('-').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "agency".to_owned() } else { parts.join("-") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn vietnamese_is_found_without_its_accents_in_either_unicode_form() {
        let composed = "Sở Thông tin và Truyền thông, tỉnh ĐẮK-LẮK";
        let decomposed: String = composed.nfd().collect();
        assert_eq!(fold(composed), "so thong tin va truyen thong tinh dak lak");
        assert_eq!(fold(&decomposed), fold(composed));
        assert_eq!(fold("Ủy ban nhân dân xã Đường Hoà Ưởng"), "uy ban nhan dan xa duong hoa uong");
        assert_eq!(fold("000.01.12.H61"), "000.01.12.h61");
        assert_eq!(fold("  --  "), "");
    }

    #[test]
    fn a_query_is_bounded_and_asks_for_every_word() {
        let query = Query::parse(" Tư-pháp  Vĩnh Long ").unwrap();
        assert_eq!(query.whole(), "tu phap vinh long");
        assert_eq!(query.words().collect::<Vec<_>>(), ["tu", "phap", "vinh", "long"]);
        assert!(Query::parse(&"a ".repeat(9)).is_err() && Query::parse(&"a".repeat(201)).is_err());
        assert_eq!(Query::parse("%_").unwrap().words().count(), 0);
    }

    #[test]
    fn a_slug_is_a_name() {
        for (title, name) in [("Sở Tư pháp", "so-tu-phap"), ("...", "agency"), ("Đ 1.2", "d-1-2"), ("漢字", "agency")]
        {
            assert_eq!(slug(title), name);
        }
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(text in "\\PC{0,60}") {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once);
        }

        #[test]
        fn accents_never_matter(text in "[a-zđăâêôơưA-ZĐĂÂÊÔƠƯáàảãạấầẩẫậắằẳẵặéèẻẽẹếềểễệíìỉĩịóòỏõọốồổỗộớờởỡợúùủũụứừửữựýỳỷỹỵ ]{0,60}") {
            let decomposed: String = text.nfd().collect();
            let folded = fold(&text);
            prop_assert_eq!(&fold(&decomposed), &folded);
            prop_assert_eq!(&fold(&text.to_uppercase()), &folded);
            prop_assert!(folded.chars().all(|letter| letter.is_ascii_lowercase() || letter == ' '));
        }

        #[test]
        fn nothing_that_sql_treats_specially_survives(text in any::<String>()) {
            prop_assert!(!fold(&text).contains(['%', '_', '\\', '\'', '\0']));
        }

        #[test]
        fn every_slug_is_a_resource_name(text in any::<String>()) {
            prop_assert!(slug(&text).parse::<lgsp_shared::id::ResourceName>().is_ok());
        }
    }
}
