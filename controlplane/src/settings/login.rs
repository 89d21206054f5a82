//! How operators log in.

use serde::Deserialize;

use super::SettingsError;

/// The longest session, in minutes: a week.
const SESSION_MINUTES_MAX: u32 = 7 * 24 * 60;

/// How operators log in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoginSettings {
    /// A session ends after so many minutes, whatever happens.
    pub session_minutes: u32,
    /// A session ends when it was not used for so many minutes.
    pub idle_minutes: u32,
    /// What authenticator applications show beside the operator's name.
    pub title: String,
    /// Takes the source of a request from the last entry of `X-Forwarded-For`: only behind a proxy that sets it.
    pub trust_forwarded_for: bool,
}

impl Default for LoginSettings {
    fn default() -> Self {
        let (session_minutes, idle_minutes, title) = (720, 60, "LGSP".to_owned());
        Self { session_minutes, idle_minutes, title, trust_forwarded_for: false }
    }
}

impl LoginSettings {
    /// Refuses values that mean nothing.
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let wrong = |path: &str, message: String| Err(SettingsError::Value { path: path.to_owned(), message });
        let Self { session_minutes, idle_minutes, title, trust_forwarded_for: _ } = self;
        if !(1..=SESSION_MINUTES_MAX).contains(session_minutes) {
            return wrong("login.session_minutes", format!("{session_minutes} is not from 1 to {SESSION_MINUTES_MAX}"));
        }
        if !(1..=*session_minutes).contains(idle_minutes) {
            let message = format!("{idle_minutes} is not from 1 to `session_minutes`, {session_minutes}");
            return wrong("login.idle_minutes", message);
        }
        if title.is_empty() || title.contains(':') {
            return wrong("login.title", "write a short name without a colon".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_mean_nothing_are_refused_by_path() {
        assert!(LoginSettings::default().check().is_ok());
        let cases = [
            (LoginSettings { session_minutes: 0, ..LoginSettings::default() }, "login.session_minutes"),
            (LoginSettings { idle_minutes: 721, ..LoginSettings::default() }, "login.idle_minutes"),
            (LoginSettings { title: "a:b".into(), ..LoginSettings::default() }, "login.title"),
        ];
        for (login, path) in cases {
            let error = login.check().unwrap_err().to_string();
            assert!(error.contains(path), "{error}");
        }
    }
}
