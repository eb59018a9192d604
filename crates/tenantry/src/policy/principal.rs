use uuid::Uuid;

use crate::{
    accounts::{Account, Membership},
    operators::Operator,
    users::{ApiKey, User},
};

/// Whoever would do something.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Principal {
    /// Nobody that is known.
    Anonymous,
    /// Somebody who is signed in.
    User {
        /// The user, or the account of a member.
        id: Uuid,
        /// The address.
        email: String,
        /// What they are in the tenant.
        roles: Vec<String>,
    },
    /// A program with a key.
    ApiKey {
        /// The key.
        id: Uuid,
        /// What it may do.
        scopes: Vec<String>,
    },
    /// One of those who run the deployment, in their own name.
    Operator {
        /// Who.
        id: Uuid,
        /// The address.
        email: String,
        /// What they are in the deployment.
        role: String,
    },
}

impl Principal {
    /// Who it is; nobody, where that is not known.
    #[must_use]
    pub fn id(&self) -> Option<Uuid> {
        match self {
            Self::Anonymous => None,
            Self::User { id, .. } | Self::ApiKey { id, .. } | Self::Operator { id, .. } => {
                Some(*id)
            }
        }
    }

    /// The user, where it is one.
    #[must_use]
    pub fn user_id(&self) -> Option<Uuid> {
        match self {
            Self::User { id, .. } => Some(*id),
            _ => None,
        }
    }

    /// Whether it is a user in that role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        matches!(self, Self::User { roles, .. } if roles.iter().any(|own| own == role))
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Anonymous => "Anonymous",
            Self::User { .. } => "User",
            Self::ApiKey { .. } => "ApiKey",
            Self::Operator { .. } => "Operator",
        }
    }

    pub(crate) fn email(&self) -> Option<&str> {
        match self {
            Self::User { email, .. } | Self::Operator { email, .. } => Some(email),
            Self::Anonymous | Self::ApiKey { .. } => None,
        }
    }

    /// The groups that it is in, by type and name.
    pub(crate) fn groups(&self) -> (&'static str, &[String]) {
        match self {
            Self::Anonymous => ("Role", &[]),
            Self::User { roles, .. } => ("Role", roles),
            Self::ApiKey { scopes, .. } => ("Scope", scopes),
            Self::Operator { role, .. } => ("Role", std::slice::from_ref(role)),
        }
    }
}

impl From<&User> for Principal {
    fn from(user: &User) -> Self {
        Self::User {
            id: user.id,
            email: user.email.clone(),
            roles: vec![user.role.clone()],
        }
    }
}

impl From<&ApiKey> for Principal {
    fn from(key: &ApiKey) -> Self {
        Self::ApiKey {
            id: key.id,
            scopes: key.scopes.clone(),
        }
    }
}

impl From<&Operator> for Principal {
    fn from(operator: &Operator) -> Self {
        Self::Operator {
            id: operator.id,
            email: operator.email.clone(),
            role: operator.role.to_string(),
        }
    }
}

impl From<(&Account, &Membership)> for Principal {
    fn from((account, membership): (&Account, &Membership)) -> Self {
        Self::User {
            id: account.id,
            email: account.email.clone(),
            roles: vec![membership.role.clone()],
        }
    }
}
