//! Who may make whom an operator of what: pure.
//!
//! Nobody changes an account of their own, and nobody hands out or touches more than they are trusted with: keys and the
//! audit stay out of a system administrator's reach.

use std::collections::BTreeSet;

use lgsp_shared::id::{AgencyId, ResourceName};

use super::{Operator, Role};

/// What a system administrator may hand out without having it.
const BY_SYSTEM_ADMINISTRATOR: [Role; 5] = [
    Role::RegistrationOfficer,
    Role::ServiceAdministrator,
    Role::SystemAdministrator,
    Role::Observer,
    Role::AgencyAdministrator,
];
/// What an agency's administrator may hand out within the agency.
const BY_AGENCY_ADMINISTRATOR: [Role; 2] = [Role::Observer, Role::AgencyAdministrator];

/// Why an operator may not be managed so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Beyond {
    /// It is oneself.
    #[error("nobody changes their own account; somebody else has to")]
    Oneself,
    /// It belongs elsewhere. Also the answer when there is none.
    #[error("there is no operator `{0}`")]
    Unknown(String),
    /// It has a role whose holders the actor may not manage.
    #[error("`{name}` has the role `{role}`, and you may not manage whoever has it")]
    Holder {
        /// The operator's name.
        name: String,
        /// The role.
        role: Role,
    },
    /// It would have a role that the actor may not hand out.
    #[error("you may not hand out the role `{0}`")]
    HandOut(Role),
    /// A token would have a role that may more than its maker.
    #[error("a token is worth no more than its maker, and you may not do all that the role `{0}` may")]
    Uncovered(Role),
    /// An agency's administrator hands out rights elsewhere.
    #[error("your operators belong to `Agency/{0}`")]
    Agency(AgencyId),
    /// The role means nothing without an agency.
    #[error("the role `agency-administrator` needs an agency")]
    NoAgency,
}

impl Beyond {
    /// Who can help, or what else to do.
    pub fn next(&self) -> String {
        match self {
            Beyond::Unknown(_) => "`lgspctl operator list` shows all of them.".to_owned(),
            Beyond::Oneself => "Ask another administrator.".to_owned(),
            Beyond::Holder { name: _, role } | Beyond::HandOut(role) if BY_SYSTEM_ADMINISTRATOR.contains(role) => {
                "A system administrator can do this.".to_owned()
            }
            Beyond::Holder { name: _, role } | Beyond::HandOut(role) => {
                format!("A system administrator who has the role `{role}` too can do this.")
            }
            Beyond::Uncovered(_) => "Name a role with no more rights than `lgspctl whoami` shows.".to_owned(),
            Beyond::Agency(_) => "Name that agency with `--agency`, or ask a system administrator.".to_owned(),
            Beyond::NoAgency => "Name one with `--agency`.".to_owned(),
        }
    }
}

/// The roles `actor` may hand out, and whose holders it may manage.
pub fn reach(actor: &Operator) -> BTreeSet<Role> {
    let has = |role| actor.roles().contains(&role);
    match actor.agency() {
        Some(_) if has(Role::AgencyAdministrator) => BY_AGENCY_ADMINISTRATOR.into(),
        Some(_) => BTreeSet::new(),
        None if has(Role::SystemAdministrator) => {
            actor.roles().iter().copied().chain(BY_SYSTEM_ADMINISTRATOR).collect()
        }
        None => BTreeSet::new(),
    }
}

/// An account as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a> {
    /// Its name.
    pub name: &'a ResourceName,
    /// Its roles.
    pub roles: &'a BTreeSet<Role>,
    /// Its agency.
    pub agency: Option<&'a AgencyId>,
}

/// Whether `actor` may see the account.
pub fn sees(actor: &Operator, account: Account<'_>) -> bool {
    actor.agency().is_none_or(|agency| account.agency == Some(agency))
}

/// Whether `actor` may change the account as it is.
pub fn may_manage(actor: &Operator, account: Account<'_>) -> Result<(), Beyond> {
    if !sees(actor, account) {
        return Err(Beyond::Unknown(account.name.to_string()));
    }
    if actor.name() == account.name.as_str() {
        return Err(Beyond::Oneself);
    }
    let holder = |role| Beyond::Holder { name: account.name.to_string(), role };
    out_of_reach(actor, account.roles).map_or(Ok(()), |role| Err(holder(role)))
}

/// Whether `actor` may make an account what this one says.
pub fn may_make(actor: &Operator, account: Account<'_>) -> Result<(), Beyond> {
    if let Some(own) = actor.agency()
        && account.agency != Some(own)
    {
        return Err(Beyond::Agency(own.clone()));
    }
    if account.agency.is_none() && account.roles.iter().any(|role| role.wants_agency()) {
        return Err(Beyond::NoAgency);
    }
    out_of_reach(actor, account.roles).map_or(Ok(()), |role| Err(Beyond::HandOut(role)))
}

/// Whether a token of `actor` may have these roles.
pub fn may_carry(actor: &Operator, roles: &BTreeSet<Role>) -> Result<(), Beyond> {
    let beyond = roles.iter().find(|role| !actor.covers(**role));
    beyond.map_or(Ok(()), |role| Err(Beyond::Uncovered(*role)))
}

fn out_of_reach(actor: &Operator, roles: &BTreeSet<Role>) -> Option<Role> {
    let reach = reach(actor);
    roles.iter().copied().find(|role| !reach.contains(role))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(name: &str, roles: &[Role], agency: Option<&str>) -> Operator {
        Operator::new(name, roles.iter().copied(), agency.map(|agency| agency.parse().unwrap()))
    }

    fn check(actor: &Operator, target: &Operator) -> (Result<(), Beyond>, Result<(), Beyond>) {
        let name: ResourceName = target.name().parse().unwrap();
        let account = Account { name: &name, roles: target.roles(), agency: target.agency() };
        (may_manage(actor, account), may_make(actor, account))
    }

    #[test]
    fn a_system_administrator_reaches_neither_keys_nor_audit() {
        let actor = operator("sys", &[Role::SystemAdministrator], None);
        for role in [Role::SecurityOfficer, Role::Auditor] {
            let beyond = (Err(Beyond::Holder { name: "x".into(), role }), Err(Beyond::HandOut(role)));
            assert_eq!(check(&actor, &operator("x", &[role], None)), beyond);
            assert_eq!(check(&actor, &operator("x", &[Role::Observer, role], None)), beyond);
        }
        for role in BY_SYSTEM_ADMINISTRATOR {
            assert_eq!(check(&actor, &operator("x", &[role], Some("a"))), (Ok(()), Ok(())));
        }
        let both = operator("both", &[Role::SystemAdministrator, Role::SecurityOfficer], None);
        assert_eq!(check(&both, &operator("x", &[Role::SecurityOfficer], None)), (Ok(()), Ok(())));
    }

    #[test]
    fn nobody_changes_an_account_of_their_own() {
        let actor = operator("sys", &[Role::SystemAdministrator], None);
        assert_eq!(check(&actor, &actor).0, Err(Beyond::Oneself));
    }

    #[test]
    fn an_agency_s_administrator_reaches_its_own_operators_alone() {
        let actor = operator("a-admin", &[Role::AgencyAdministrator], Some("a"));
        let own = operator("x", &[Role::AgencyAdministrator], Some("a"));
        assert_eq!(check(&actor, &own), (Ok(()), Ok(())));
        for other in [operator("x", &[Role::Observer], Some("b")), operator("x", &[Role::Observer], None)] {
            let unknown = Err(Beyond::Unknown("x".into()));
            assert_eq!(check(&actor, &other), (unknown, Err(Beyond::Agency("a".parse().unwrap()))));
        }
        let more = operator("x", &[Role::ServiceAdministrator], Some("a"));
        assert_eq!(check(&actor, &more).1, Err(Beyond::HandOut(Role::ServiceAdministrator)));
        let bound = operator("sys", &[Role::SystemAdministrator], Some("a"));
        assert_eq!(check(&bound, &own).1, Err(Beyond::HandOut(Role::AgencyAdministrator)), "not over the platform");
    }

    #[test]
    fn an_administrator_of_no_agency_is_not_made() {
        let actor = operator("sys", &[Role::SystemAdministrator], None);
        assert_eq!(check(&actor, &operator("x", &[Role::AgencyAdministrator], None)).1, Err(Beyond::NoAgency));
    }
}
