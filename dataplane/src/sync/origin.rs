//! Where a configuration comes from. The only maker of an [`Origin`], without which there is no offer: a configuration
//! whose origin was not looked at cannot serve.

use std::sync::Arc;

use lgsp_shared::keyspace::Head;
use lgsp_shared::seal::origin::{Lineage, Unproven};

use super::keyring::Keyring;
use super::rejection::Rejection;

/// The origin of a configuration that may serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(Option<Lineage>);

impl Origin {
    /// The line of revisions a holder of the key-encryption key marked it for; `None` when it is unmarked and a setting
    /// accepts that.
    pub fn lineage(&self) -> Option<&Lineage> {
        self.0.as_ref()
    }

    /// For tests of what comes after.
    #[cfg(test)]
    pub fn fake(lineage: Option<Lineage>) -> Self {
        Self(lineage)
    }
}

/// Decides whose configuration may serve.
#[derive(Debug, Clone)]
pub struct OriginCheck {
    keys: Arc<Keyring>,
    accept_unmarked: bool,
}

impl OriginCheck {
    /// Accepts what a holder of one of the `keys` marked, and what is unmarked only with `accept_unmarked`.
    pub fn new(keys: Arc<Keyring>, accept_unmarked: bool) -> Self {
        Self { keys, accept_unmarked }
    }

    /// The origin of what `head` names. A false mark is refused whatever the settings say.
    pub fn admit(&self, head: &Head) -> Result<Origin, Rejection> {
        match head.proven(&self.keys.load()) {
            Ok(lineage) => Ok(Origin(Some(lineage.clone()))),
            Err(Unproven::Unmarked) if self.accept_unmarked => Ok(Origin(None)),
            Err(why) => Err(Rejection::Unproven { revision: head.revision, why }),
        }
    }
}

#[cfg(test)]
mod tests {
    use lgsp_shared::bundle::content_hash;
    use lgsp_shared::id::Revision;
    use lgsp_testkit::resources::{lineage, seal_key, seal_keys};

    use super::*;

    fn head() -> Head {
        Head::new(Revision(1), content_hash(&[]), 0)
    }

    #[test]
    fn only_a_marked_head_is_admitted_unless_a_setting_accepts_unmarked_ones() {
        let check = |accept| OriginCheck::new(Keyring::new(seal_key()), accept);
        let marked = head().marked(&seal_keys(), &lineage());
        let forged = Head { revision: Revision(2), ..marked.clone() };
        for accept in [false, true] {
            assert_eq!(check(accept).admit(&marked).unwrap().lineage(), Some(&lineage()));
            let refused = check(accept).admit(&forged).unwrap_err();
            assert_eq!(refused, Rejection::Unproven { revision: Revision(2), why: Unproven::Forged }, "{accept}");
        }
        assert_eq!(check(true).admit(&head()).unwrap().lineage(), None);
        let refused = check(false).admit(&head()).unwrap_err();
        assert_eq!(refused, Rejection::Unproven { revision: Revision(1), why: Unproven::Unmarked });
    }
}
