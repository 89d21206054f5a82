//! Rights: what can be done with the platform, and which roles may. Whatever is not listed is refused.
//!
//! Every handler names one in its signature, `Needs<Look>`; without one it reaches nothing. A new right is a variant of
//! [`Right`], a line in each of its tables, and a marker below them.

use super::role::Role::{
    self, AgencyAdministrator, Auditor, Observer, RegistrationOfficer, SecurityOfficer, ServiceAdministrator,
    SystemAdministrator,
};
use crate::desired::ownership::Namespace;

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    /// Manage one's own session, password and second factor.
    Myself,
    /// Make and end one's own tokens.
    Tokens,
    /// Read the configuration, its history, and credentials without their secrets.
    Look,
    /// See nodes, and how publishing stands.
    Watch,
    /// Change documents; which kinds is up to the roles, see [`Role::may_change`].
    Change,
    /// Take agencies in, rename, split, merge and dissolve them; decide applications; announce maintenance.
    Register,
    /// Issue, rotate and disable credentials.
    Keys,
    /// Seal everything under another key-encryption key, second factors too.
    Reseal,
    /// Publish again.
    Publish,
    /// Add operators, grant and revoke their roles, disable them.
    Operators,
    /// Read and verify the audit.
    Audit,
}

impl Right {
    /// Every right.
    pub const ALL: [Right; 11] = [
        Right::Myself,
        Right::Tokens,
        Right::Look,
        Right::Watch,
        Right::Change,
        Right::Register,
        Right::Keys,
        Right::Reseal,
        Right::Publish,
        Right::Operators,
        Right::Audit,
    ];

    /// The right as it is named in `/openapi.json` and in refusals.
    pub fn label(self) -> &'static str {
        match self {
            Right::Myself => "myself",
            Right::Tokens => "tokens",
            Right::Look => "look",
            Right::Watch => "watch",
            Right::Change => "change",
            Right::Register => "register",
            Right::Keys => "keys",
            Right::Reseal => "reseal",
            Right::Publish => "publish",
            Right::Operators => "operators",
            Right::Audit => "audit",
        }
    }

    /// The roles that have it.
    pub fn roles(self) -> &'static [Role] {
        match self {
            Right::Myself | Right::Tokens | Right::Look => &Role::ALL,
            Right::Watch => {
                &[SecurityOfficer, RegistrationOfficer, ServiceAdministrator, SystemAdministrator, Observer, Auditor]
            }
            Right::Change => {
                &[SecurityOfficer, RegistrationOfficer, ServiceAdministrator, SystemAdministrator, AgencyAdministrator]
            }
            Right::Register => &[RegistrationOfficer, SystemAdministrator],
            Right::Keys | Right::Reseal => &[SecurityOfficer],
            Right::Publish => &[SystemAdministrator],
            Right::Operators => &[SystemAdministrator, AgencyAdministrator],
            Right::Audit => &[Auditor],
        }
    }

    /// Whether it can be narrowed to one agency. One that cannot is refused to whoever is bound to an agency.
    pub fn within_agency(self) -> bool {
        match self {
            Right::Myself | Right::Tokens | Right::Look | Right::Change | Right::Keys | Right::Operators => true,
            Right::Watch | Right::Register | Right::Publish | Right::Audit => false,
            Right::Reseal => Namespace::Sealing.is_open_to_agencies(),
        }
    }
}

/// A right as a type, for signatures.
pub trait Named: Send + Sync + 'static {
    /// The right.
    const RIGHT: Right;
}

macro_rules! named {
    ($($name:ident)*) => {
        $(
            #[doc = concat!("See [`Right::", stringify!($name), "`].")]
            #[derive(Debug)]
            pub enum $name {}

            impl Named for $name {
                const RIGHT: Right = Right::$name;
            }
        )*
    };
}

named! { Myself Tokens Look Watch Change Register Keys Reseal Publish Operators Audit }

#[cfg(test)]
mod tests {
    use lgsp_shared::resource::Kind;

    use super::*;

    #[test]
    fn whoever_may_change_a_kind_has_the_right_to_change_and_the_other_way_round() {
        for role in Role::ALL {
            let kinds = Kind::ALL.into_iter().any(|kind| role.may_change(kind));
            assert_eq!(Right::Change.roles().contains(&role), kinds, "{role}");
        }
    }

    #[test]
    fn the_audit_is_read_by_auditors_alone_and_an_agency_gives_no_right_over_the_platform() {
        assert_eq!(Right::Audit.roles(), [Role::Auditor]);
        assert!(!Right::Reseal.within_agency(), "what it seals is everybody's");
        let platform = Right::ALL.into_iter().filter(|right| !right.within_agency());
        assert!(platform.into_iter().all(|right| !right.roles().contains(&Role::AgencyAdministrator)));
    }
}
