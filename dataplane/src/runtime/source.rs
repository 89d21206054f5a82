//! The configuration's source as its room wants it, the files it names checked.

use lgsp_etcd::UnusableFile;

use super::settings::{Settings, Source};
use crate::sync::{self, EtcdSettings, EtcdTiming, Notices};

/// Security notices that follow from the settings of the source.
pub(super) fn notices(settings: &Settings) -> Notices {
    let unmarked = settings.accept_unmarked.then(|| {
        "`source.accept_unmarked` is set: configuration without a proof of origin is accepted; remove it once the control \
         plane marks what it publishes"
            .to_owned()
    });
    let plain = match &settings.source {
        Source::Etcd(access) => access.notice(),
        Source::Bundle { .. } => None,
    };
    Notices::new(unmarked.into_iter().chain(plain).collect())
}

pub(super) fn resolve(source: &Source) -> Result<sync::Source, UnusableFile> {
    match source {
        Source::Bundle { file } => Ok(sync::Source::Bundle(file.clone())),
        Source::Etcd(access) => {
            access.check()?;
            let settings = EtcdSettings { access: access.clone(), timing: EtcdTiming::default() };
            Ok(sync::Source::Etcd(Box::new(settings)))
        }
    }
}
