//! Why the database refused a statement, in words an operator can act on. Nothing of what was sent is repeated.

/// A cause that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Another program writes, or holds the file.
    Locked,
    /// The disk has no room.
    Full,
    /// It cannot be written to.
    ReadOnly,
    /// The disk failed, or the file is damaged.
    Damaged,
    /// It refused a text for what it holds.
    Text,
    /// It has too little memory, or too many connections.
    Exhausted,
    /// It took too long.
    Slow,
    /// It stops, or the connection broke.
    Gone,
}

impl Reason {
    /// The reason of this error, where it is one that is known.
    pub fn of(error: &sqlx::Error) -> Option<Self> {
        match error {
            sqlx::Error::PoolTimedOut => Some(Self::Slow),
            sqlx::Error::Io(_) => Some(Self::Gone),
            sqlx::Error::Database(error) => Self::of_code(&error.code()?),
            _ => None,
        }
    }

    /// SQLite has numbers of at most four digits, whose lowest byte is the reason; PostgreSQL has five characters
    /// (appendix A of its manual).
    fn of_code(code: &str) -> Option<Self> {
        if code.len() < 5 {
            return match code.parse::<u32>().ok()? & 0xff {
                5 | 6 => Some(Self::Locked),
                7 => Some(Self::Exhausted),
                8 => Some(Self::ReadOnly),
                10 | 11 | 26 => Some(Self::Damaged),
                13 => Some(Self::Full),
                _ => None,
            };
        }
        match code {
            "55P03" | "40001" | "40P01" => Some(Self::Locked),
            "53100" => Some(Self::Full),
            "25006" => Some(Self::ReadOnly),
            "22021" | "22P05" => Some(Self::Text),
            "57014" => Some(Self::Slow),
            _ if code.starts_with("53") => Some(Self::Exhausted),
            _ if code.starts_with("57P") || code.starts_with("08") => Some(Self::Gone),
            _ if code.starts_with("58") || code.starts_with("XX") => Some(Self::Damaged),
            _ => None,
        }
    }

    /// What happened.
    pub fn text(self) -> &'static str {
        match self {
            Self::Locked => "another program holds it for writing",
            Self::Full => "its disk is full",
            Self::ReadOnly => "it cannot be written to",
            Self::Damaged => "its disk failed, or its files are damaged",
            Self::Text => "a text holds a character that it does not keep, such as U+0000",
            Self::Exhausted => "it has too little memory, or too many connections",
            Self::Slow => "it took too long to answer",
            Self::Gone => "it stops, or the connection to it broke",
        }
    }

    /// What to do next.
    pub fn next(self) -> &'static str {
        match self {
            Self::Locked => {
                "Nothing was changed. Try again; if it stays so, find the program that has the database open."
            }
            Self::Full => "Nothing was changed. Make room on the disk of the database, then try again.",
            Self::ReadOnly => "Nothing was changed. Check who owns the database's files, and whether it is a standby.",
            Self::Damaged => "Nothing was changed. Check the disk; restore a backup where the database is damaged.",
            Self::Text => "Nothing was changed. Take the character out of what was sent.",
            Self::Exhausted | Self::Slow | Self::Gone => {
                "Try again; if it stays so, look at the database's log and the control plane's."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_both_databases_have_their_reasons() {
        let cases = [
            ("5", Some(Reason::Locked)),
            ("517", Some(Reason::Locked)),
            ("13", Some(Reason::Full)),
            ("1032", Some(Reason::ReadOnly)),
            ("2067", None),
            ("55P03", Some(Reason::Locked)),
            ("53100", Some(Reason::Full)),
            ("53300", Some(Reason::Exhausted)),
            ("22021", Some(Reason::Text)),
            ("57P01", Some(Reason::Gone)),
            ("23505", None),
        ];
        for (code, reason) in cases {
            assert_eq!(Reason::of_code(code), reason, "{code}");
        }
    }

    #[tokio::test]
    async fn a_database_that_another_program_holds_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cp.db");
        let store = crate::store::Store::open(&path).await.unwrap();
        let other = crate::store::Store::open(&path).await.unwrap();
        let _held = other.alone().await.unwrap();
        let refused = store.alone().await.unwrap_err();
        assert_eq!(refused.reason(), Some(Reason::Locked), "{refused:?}");
    }
}
