//! Operators: who may use the API, in which roles, and within which agency.
//!
//! ```text
//! role      what an operator is trusted with
//! right     what can be done, and which roles may: what handlers name in their signatures
//! manage    who may make whom an operator of what
//! accounts  login, logout, one's own password; factor, the second factor
//! oidc      login through an identity provider
//! bearer    sessions and tokens as texts, of which only the SHA-256 is kept
//! password  argon2id, off the threads that answer others; totp, one-time codes
//! ```
//!
//! Nothing is remembered between requests: what a session or token is worth is looked up each time, so that what was
//! revoked is worth nothing at once, whichever process did it.

use std::collections::BTreeSet;

use lgsp_shared::id::AgencyId;
use lgsp_shared::resource::Kind;

use crate::desired::Authority;

pub mod accounts;
pub mod bearer;
pub mod factor;
pub mod manage;
pub mod oidc;
pub mod password;
pub mod right;
pub mod role;
pub mod totp;

pub use bearer::BearerKind;
pub use right::Right;
pub use role::Role;

/// The operator that exists from the first start.
pub const FIRST_OPERATOR: &str = "operator";
/// What it may do: everything, keys and audit included.
pub const FIRST_ROLES: [Role; 3] = [Role::SecurityOfficer, Role::SystemAdministrator, Role::Auditor];

/// Somebody who proved to hold a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    name: String,
    roles: BTreeSet<Role>,
    agency: Option<AgencyId>,
}

impl Operator {
    /// Somebody with these roles, bound to `agency` where one is given.
    pub fn new(name: impl Into<String>, roles: impl IntoIterator<Item = Role>, agency: Option<AgencyId>) -> Self {
        Self { name: name.into(), roles: roles.into_iter().collect(), agency }
    }

    /// The name, for the history.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The roles.
    pub fn roles(&self) -> &BTreeSet<Role> {
        &self.roles
    }

    /// The agency beyond which nothing is seen and nothing is done.
    pub fn agency(&self) -> Option<&AgencyId> {
        self.agency.as_ref()
    }

    /// Whether this may be done, within the agency where there is one.
    pub fn may(&self, right: Right) -> bool {
        let bound = self.agency.is_some();
        let counts = |role: &Role| self.roles.contains(role) && (bound || !role.wants_agency());
        (right.within_agency() || !bound) && right.roles().iter().any(counts)
    }

    /// Whether this operator may do all that the role may, so that lending it to a token gives nothing away.
    pub fn covers(&self, role: Role) -> bool {
        let out_of_reach = |right: Right| self.agency.is_some() && !right.within_agency();
        let rights = Right::ALL.into_iter().filter(|right| right.roles().contains(&role) && !out_of_reach(*right));
        let kinds = Kind::ALL.into_iter().filter(|kind| role.may_change(*kind));
        rights.into_iter().all(|right| self.may(right)) && kinds.into_iter().all(|kind| self.may_change(kind))
    }

    fn may_change(&self, kind: Kind) -> bool {
        let bound = self.agency.is_some();
        self.roles.iter().any(|role| (bound || !role.wants_agency()) && role.may_change(kind))
    }

    /// What may be changed.
    pub fn authority(&self) -> Authority {
        let kinds = Kind::ALL.into_iter().filter(|kind| self.may_change(*kind));
        Authority::new(kinds.collect(), self.agency.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agency_takes_away_every_right_over_the_platform_and_adds_none() {
        let agency: AgencyId = "so-tu-phap".parse().unwrap();
        let everything = Operator::new("x", Role::ALL, Some(agency.clone()));
        for right in Right::ALL {
            assert_eq!(everything.may(right), right.within_agency(), "{right:?}");
        }
        let observer = Operator::new("x", [Role::Observer], Some(agency));
        assert!(observer.may(Right::Look) && !observer.may(Right::Change) && !observer.may(Right::Watch));
        assert_eq!(observer.authority(), Authority::new(BTreeSet::new(), observer.agency().cloned()));
    }

    #[test]
    fn a_role_is_lent_only_by_those_who_may_all_that_it_may() {
        let covered = |roles: &[Role], agency: Option<&str>| -> Vec<Role> {
            let agency = agency.map(|agency| agency.parse().unwrap());
            let operator = Operator::new("x", roles.iter().copied(), agency);
            Role::ALL.into_iter().filter(|role| operator.covers(*role)).collect()
        };
        use Role::*;
        let all_but_keys_and_audit =
            [RegistrationOfficer, ServiceAdministrator, SystemAdministrator, Observer, AgencyAdministrator];
        assert_eq!(covered(&[SystemAdministrator], None), all_but_keys_and_audit);
        assert_eq!(covered(&[SecurityOfficer], None), [SecurityOfficer, Observer]);
        assert_eq!(covered(&[Auditor], None), [Observer, Auditor]);
        assert_eq!(covered(&[Observer], None), [Observer]);
        let both = [RegistrationOfficer, ServiceAdministrator];
        assert_eq!(covered(&both, None), [RegistrationOfficer, ServiceAdministrator, Observer], "manages no operators");
        assert_eq!(covered(&[AgencyAdministrator], Some("so-tu-phap")), [Observer, Auditor, AgencyAdministrator]);
        assert_eq!(covered(&[AgencyAdministrator], None), []);
    }

    #[test]
    fn an_agency_administrator_without_an_agency_may_nothing() {
        let unbound = Operator::new("x", [Role::AgencyAdministrator], None);
        assert!(Right::ALL.into_iter().all(|right| !unbound.may(right)));
        assert_eq!(unbound.authority(), Authority::new(BTreeSet::new(), None));
        assert!(Right::ALL.into_iter().all(|right| !Operator::new("x", [], None).may(right)));
    }
}
