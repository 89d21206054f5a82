//! The configuration's source as its room wants it, the files it names checked.

use lgsp_etcd::UnusableFile;

use super::settings::Source;
use crate::sync::{self, EtcdSettings, EtcdTiming};

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
