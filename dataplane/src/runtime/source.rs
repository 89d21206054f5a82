//! The configuration's source as its room wants it, its secrets read.

use std::path::PathBuf;

use lgsp_shared::seal::Secret;
use zeroize::Zeroizing;

use super::settings::{Etcd, EtcdLogin, Source};
use crate::sync::{self, EtcdSettings, EtcdTiming};

/// Why the source cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The password cannot be read.
    #[error("`source.etcd.password_file`: cannot read `{}`: {source}", path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

pub(super) fn resolve(source: &Source) -> Result<sync::Source, SourceError> {
    match source {
        Source::Bundle { file } => Ok(sync::Source::Bundle(file.clone())),
        Source::Etcd(Etcd { endpoints, login }) => Ok(sync::Source::Etcd(EtcdSettings {
            endpoints: endpoints.clone(),
            user: login.as_ref().map(read_login).transpose()?,
            timing: EtcdTiming::default(),
        })),
    }
}

fn read_login(EtcdLogin { user, password_file }: &EtcdLogin) -> Result<(String, Secret), SourceError> {
    let text = std::fs::read_to_string(password_file)
        .map(Zeroizing::new)
        .map_err(|source| SourceError::Password { path: password_file.clone(), source })?;
    Ok((user.clone(), Secret::new(text.trim_end().as_bytes().to_vec())))
}
