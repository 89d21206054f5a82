//! Quantities as people write them: `30s`, `64 KiB`, `3000/s`. A number without its unit is refused where it could be
//! mistaken.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A length of time: `500ms`, `30s`, `5m`, `2h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

/// A number of bytes: `1024`, `64 KiB`, `100 MiB`, `5 GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

/// Requests per second: `3000` or `3000/s`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate(pub f64);

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end =
        text.find(|letter: char| !letter.is_ascii_digit() && letter != '.' && letter != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim())
}

fn number(text: &str) -> Option<f64> {
    text.replace('_', "").parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0)
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (value, unit) = split(text);
        let factor = match unit {
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3_600.0,
            _ => return Err(format!("`{text}` is not a length of time: write it as `500ms`, `30s`, `5m` or `2h`")),
        };
        let seconds = number(value).map(|value| value * factor);
        let span = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).map(Span);
        span.ok_or_else(|| format!("`{text}` is not a length of time: the number before `{unit}` cannot be read"))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis {
            0 => write!(f, "{}us", self.0.as_micros()),
            _ if millis.is_multiple_of(60_000) => write!(f, "{}m", millis / 60_000),
            _ if millis.is_multiple_of(1_000) => write!(f, "{}s", millis / 1_000),
            1..1_000 => write!(f, "{millis}ms"),
            _ => write!(f, "{}s", self.0.as_secs_f64()),
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (value, unit) = split(text);
        let factor: u64 = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "kB" | "KB" | "MB" | "GB" => {
                return Err(format!("`{text}`: use `KiB`, `MiB` or `GiB`, which are powers of 1024"));
            }
            _ => return Err(format!("`{text}` is not a size: write it as `1024`, `64 KiB`, `100 MiB` or `5 GiB`")),
        };
        let whole: Option<u64> = value.replace('_', "").parse().ok();
        let size = whole.and_then(|value| value.checked_mul(factor)).map(Size);
        size.ok_or_else(|| format!("`{text}` is not a size: write it as `1024`, `64 KiB`, `100 MiB` or `5 GiB`"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 30 && bytes.is_multiple_of(1 << 30) => write!(f, "{} GiB", bytes >> 30),
            bytes if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => write!(f, "{} MiB", bytes >> 20),
            bytes if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => write!(f, "{} KiB", bytes >> 10),
            bytes => write!(f, "{bytes} B"),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (value, unit) = split(text);
        let rate = number(value).filter(|_| matches!(unit, "" | "/s" | "/ s"));
        rate.map(Rate).ok_or_else(|| format!("`{text}` is not a rate: write it as `3000/s`"))
    }
}

struct Quantity<T>(std::marker::PhantomData<T>, &'static str);

impl<T: FromStr<Err = String>> Visitor<'_> for Quantity<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<T, E> {
        self.visit_str(&value.to_string())
    }
}

macro_rules! read_by {
    ($($name:ident, $what:literal;)*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Quantity(std::marker::PhantomData, $what))
            }
        }
    )*};
}

read_by! {
    Span, "a length of time such as `30s`";
    Size, "a size such as `64 KiB`";
    Rate, "a rate such as `3000/s`";
}
