//! The commonest passwords, in English and Vietnamese: words that are guessed first, alone, together, and with digits and
//! signs around them.

use crate::registry::fold::fold;

/// Words without accents. A password whose letters are made of these alone is refused.
const WORDS: &[&str] = &[
    "abc",
    "abcd",
    "abcdef",
    "admin",
    "administrator",
    "anhyeuem",
    "asdf",
    "asdfgh",
    "baseball",
    "binhan",
    "changeme",
    "chaomung",
    "computer",
    "congty",
    "default",
    "dragon",
    "emyeuanh",
    "football",
    "guest",
    "hanoi",
    "hello",
    "hochiminh",
    "iloveyou",
    "khongbiet",
    "lgsp",
    "letmein",
    "login",
    "love",
    "master",
    "matkhau",
    "mk",
    "monkey",
    "mothaiba",
    "my",
    "nguyen",
    "pass",
    "password",
    "passwd",
    "princess",
    "qaz",
    "qwe",
    "qwer",
    "qwert",
    "qwerty",
    "qwertyuiop",
    "root",
    "saigon",
    "secret",
    "server",
    "sunshine",
    "superman",
    "system",
    "test",
    "user",
    "vietnam",
    "welcome",
    "wsx",
    "zxcvbnm",
];
/// A password without letters is a date or a telephone number, or counts upwards, unless it is as long as this.
const DIGITS_ALONE_MIN: usize = 20;

/// Whether the password is one of those that are tried first.
pub fn is_common(text: &str) -> bool {
    let letters: String = fold(text).chars().filter(|letter| letter.is_alphabetic()).collect();
    if letters.is_empty() {
        return text.chars().count() < DIGITS_ALONE_MIN;
    }
    is_made_of_words(&letters)
}

/// Whether the letters can be cut into common words with nothing left.
fn is_made_of_words(letters: &str) -> bool {
    let mut ends = vec![0];
    let mut at = 0;
    while let Some(start) = ends.get(at).copied() {
        let Some(rest) = letters.get(start..) else { return false };
        if rest.is_empty() {
            return true;
        }
        for word in WORDS.iter().filter(|word| rest.starts_with(**word)) {
            let end = start + word.len();
            if !ends.contains(&end) {
                ends.push(end);
            }
        }
        at += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_guessed_first_is_common_however_it_is_dressed() {
        for common in ["passwordpassword", "Qwerty!234567", "VIETNAM@2026@hanoi", "mật-khẩu-123456", "0902 123 456 78"]
        {
            assert!(is_common(common), "{common}");
        }
        for fine in ["sông Hậu chảy chậm", "gió mùa đông bắc", "passwords are boring", "48213 09517 73026 11894"]
        {
            assert!(!is_common(fine), "{fine}");
        }
    }
}
