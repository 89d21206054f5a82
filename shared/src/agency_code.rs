//! Identification codes of agencies, in both grammars in use.
//!
//! * QCVN 102:2016, read right to left: `000.01.12.H28`, and the short forms that still circulate: `28.22.H17`.
//! * Decision 20/2020/QĐ-TTg, read left to right: `H28.12.1`, `G01.899.307.000`.
//!
//! Emitting is exact, accepting is liberal: letters are allowed in the groups of the second grammar because
//! they occur in practice.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::InvalidId;

/// The longest code of either grammar, in bytes.
pub const CODE_BYTES_MAX: usize = 35;
const QD20_GROUPS_MAX: usize = 8;

/// Which of the two grammars a code is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Grammar {
    /// QCVN 102:2016: level 1 comes last.
    Qcvn102,
    /// Decision 20/2020: level 1 comes first.
    Qd20,
}

/// The identification code of an agency.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AgencyCode(Box<str>);

impl AgencyCode {
    /// The code as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Which grammar it follows; the place of the level-1 group (a letter and two digits) tells.
    pub fn grammar(&self) -> Grammar {
        match self.0.split('.').next() {
            Some(first) if is_level_1(first) => Grammar::Qd20,
            _ => Grammar::Qcvn102,
        }
    }

    /// The level-1 group: the ministry or the province, such as `H61`.
    pub fn level_1(&self) -> &str {
        let group = match self.grammar() {
            Grammar::Qd20 => self.0.split('.').next(),
            Grammar::Qcvn102 => self.0.rsplit('.').next(),
        };
        group.unwrap_or(&self.0)
    }
}

fn is_level_1(group: &str) -> bool {
    matches!(group.as_bytes(), [letter, tens, ones]
        if letter.is_ascii_uppercase() && tens.is_ascii_digit() && ones.is_ascii_digit())
}

fn is_qd20(code: &str) -> bool {
    let mut groups = code.split('.');
    let sub_group = |group: &str| {
        (1..=3).contains(&group.len()) && group.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
    };
    groups.next().is_some_and(is_level_1) && groups.clone().count() <= QD20_GROUPS_MAX && groups.all(sub_group)
}

fn is_qcvn102(code: &str) -> bool {
    let mut groups = code.rsplit('.');
    let sub_group = |group: &str| (2..=3).contains(&group.len()) && group.bytes().all(|b| b.is_ascii_digit());
    groups.next().is_some_and(is_level_1) && (1..=3).contains(&groups.clone().count()) && groups.all(sub_group)
}

impl FromStr for AgencyCode {
    type Err = InvalidId;

    fn from_str(code: &str) -> Result<Self, InvalidId> {
        if code.len() <= CODE_BYTES_MAX && (is_qd20(code) || is_qcvn102(code)) {
            return Ok(Self(code.into()));
        }
        let rule = "write it as `000.01.12.H28` (QCVN 102:2016) or as `H28.12.1` (Decision 20/2020)";
        Err(InvalidId::new(code, "an agency identification code", rule))
    }
}

impl TryFrom<String> for AgencyCode {
    type Error = InvalidId;

    fn try_from(code: String) -> Result<Self, InvalidId> {
        code.parse()
    }
}

impl From<AgencyCode> for String {
    fn from(code: AgencyCode) -> String {
        code.0.into()
    }
}

impl fmt::Display for AgencyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_grammars_and_their_level_1_are_told_apart() {
        let cases = [
            ("000.00.00.G22", Grammar::Qcvn102, "G22"),
            ("002.00.20.H13", Grammar::Qcvn102, "H13"),
            ("28.22.H17", Grammar::Qcvn102, "H17"),
            ("99.99.99.G21", Grammar::Qcvn102, "G21"),
            ("H55.242", Grammar::Qd20, "H55"),
            ("G01.899.307.000", Grammar::Qd20, "G01"),
            ("H37.DN.001", Grammar::Qd20, "H37"),
            ("H61", Grammar::Qd20, "H61"),
        ];
        for (text, grammar, level_1) in cases {
            let code: AgencyCode = text.parse().unwrap();
            assert_eq!((code.grammar(), code.level_1(), code.as_str()), (grammar, level_1, text));
        }
    }

    #[test]
    fn what_is_neither_grammar_is_refused() {
        for bad in ["", "H5", "h55.02", "000.00.00.22", "0000.00.H22", "H55.", ".H55", "H55..02", "H55.0002", "H55.a1"]
        {
            assert!(bad.parse::<AgencyCode>().is_err(), "{bad}");
        }
        let long = format!("H55{}", ".999".repeat(9));
        assert!(long.parse::<AgencyCode>().is_err());
    }
}
