//! Roles: what an operator is trusted with. A closed set; [`super::right`] says what each may do.

use std::fmt;
use std::str::FromStr;

use lgsp_shared::resource::Kind;

/// A role. An operator may have several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Issues, rotates and disables credentials: nobody else does.
    SecurityOfficer,
    /// Agencies and their systems.
    RegistrationOfficer,
    /// Services, routes and permissions.
    ServiceAdministrator,
    /// Operators, the platform's defaults, publishing, and all configuration but credentials.
    SystemAdministrator,
    /// Reads everything but the audit.
    Observer,
    /// Reads everything and the audit.
    Auditor,
    /// Manages one agency's systems, services and operators; sees and does nothing beyond it.
    AgencyAdministrator,
}

/// A text that is not a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a role; use one of {known}", known = Role::known())]
pub struct UnknownRole(String);

impl Role {
    /// Every role.
    pub const ALL: [Role; 7] = [
        Role::SecurityOfficer,
        Role::RegistrationOfficer,
        Role::ServiceAdministrator,
        Role::SystemAdministrator,
        Role::Observer,
        Role::Auditor,
        Role::AgencyAdministrator,
    ];

    /// The role as it is written.
    pub fn label(self) -> &'static str {
        match self {
            Role::SecurityOfficer => "security-officer",
            Role::RegistrationOfficer => "registration-officer",
            Role::ServiceAdministrator => "service-administrator",
            Role::SystemAdministrator => "system-administrator",
            Role::Observer => "observer",
            Role::Auditor => "auditor",
            Role::AgencyAdministrator => "agency-administrator",
        }
    }

    /// Whether it may add, replace and remove documents of this kind.
    pub fn may_change(self, kind: Kind) -> bool {
        match self {
            Role::SecurityOfficer => kind == Kind::Credential,
            Role::RegistrationOfficer => matches!(kind, Kind::Agency | Kind::System),
            Role::ServiceAdministrator => matches!(kind, Kind::Service | Kind::Route | Kind::Permission),
            Role::SystemAdministrator => kind != Kind::Credential,
            Role::AgencyAdministrator => matches!(kind, Kind::System | Kind::Service),
            Role::Observer | Role::Auditor => false,
        }
    }

    /// Whether it means nothing without an agency.
    pub fn wants_agency(self) -> bool {
        self == Role::AgencyAdministrator
    }

    fn known() -> String {
        Role::ALL.map(|role| format!("`{role}`")).join(", ")
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Role::ALL
            .into_iter()
            .find(|role| role.label() == text)
            .ok_or_else(|| UnknownRole(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_as_they_are_written_and_nothing_else_is() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        let error = "root".parse::<Role>().unwrap_err().to_string();
        assert!(error.contains("`root`") && error.contains("`security-officer`"), "{error}");
    }

    #[test]
    fn only_the_security_officer_changes_credentials() {
        let changing: Vec<Role> = Role::ALL.into_iter().filter(|role| role.may_change(Kind::Credential)).collect();
        assert_eq!(changing, [Role::SecurityOfficer]);
    }
}
