use std::{collections::BTreeMap, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{
    accounts::{AccountError, MemberError},
    db::DbError,
    domains::DomainError,
    lifecycle::LifecycleError,
    operators::OperatorError,
    policy::Refused,
    resources::ResourceError,
    scoped::jobs::EnqueueError,
    users::{LinkError, PasswordError, SignInError, UserError},
};

/// An error as a client sees it: `application/problem+json`
/// ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)).
///
/// What went wrong inside is logged, never told: errors of the library turn into problems that
/// name no tenant, statement or path.
///
/// ```
/// use axum::http::StatusCode;
/// use tenantry::routing::Problem;
///
/// let problem = Problem::new(StatusCode::CONFLICT, "code-taken", "There is a product with that code.");
/// assert_eq!(problem.slug(), "code-taken");
/// ```
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    slug: &'static str,
    detail: String,
    errors: BTreeMap<String, Vec<String>>,
    retry_after: Option<u64>,
}

impl Problem {
    /// A problem of the kind `slug`, which is stable and for programs; `detail` is for people.
    pub fn new(status: StatusCode, slug: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            slug,
            detail: detail.into(),
            errors: BTreeMap::new(),
            retry_after: None,
        }
    }

    /// 404: no such object, or one of another tenant. There is exactly one such answer.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here.")
    }

    /// 403: the user may not do that.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "You may not do that.")
    }

    /// 401: nobody is signed in.
    #[must_use]
    pub fn authentication_required() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "authentication-required",
            "Sign in, and send the token as Authorization: Bearer.",
        )
    }

    /// 401: the credentials are not good here.
    #[must_use]
    pub fn invalid_token() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "invalid-token",
            "The token is unknown here or has expired.",
        )
    }

    /// 401: wrong address or password, which is not told.
    #[must_use]
    pub fn invalid_credentials() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "invalid-credentials",
            "The e-mail address or the password is wrong.",
        )
    }

    /// 404: a route of tenants, and no tenant named.
    #[must_use]
    pub fn tenant_required() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "tenant-required",
            "This belongs to a tenant: use its host name, or name it in a header.",
        )
    }

    /// 404: no such tenant.
    #[must_use]
    pub fn tenant_not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "tenant-not-found",
            "There is no such tenant.",
        )
    }

    pub(super) fn tenant_conflict() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "tenant-conflict",
            "The request names two different tenants.",
        )
    }

    pub(super) fn tenant_suspended() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "tenant-suspended",
            "This is suspended at the moment.",
        )
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "That method is not possible here.",
        )
    }

    /// 422: what was sent cannot be taken; `errors` says why, by field.
    #[must_use]
    pub fn invalid(errors: BTreeMap<String, Vec<String>>) -> Self {
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
            "Some of what was sent cannot be taken.",
        );
        problem.errors = errors;
        problem
    }

    /// 422, because of one field.
    pub fn invalid_field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid(BTreeMap::from([(field.into(), vec![message.into()])]))
    }

    /// 503: it will pass.
    #[must_use]
    pub fn unavailable() -> Self {
        let mut problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "This cannot be done right now. Try again in a moment.",
        );
        problem.retry_after = Some(1);
        problem
    }

    /// 429: it has been tried too often, and will be possible again.
    #[must_use]
    pub fn too_many_requests(wait: Duration) -> Self {
        let mut problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-requests",
            "This was tried too often. Wait a little.",
        );
        problem.retry_after = Some(wait.as_secs() + 1);
        problem
    }

    /// 500: a mistake of ours. `error` is logged.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "internal error");
        Self::failed()
    }

    pub(super) fn failed() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong here.",
        )
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The kind of problem, for programs.
    #[must_use]
    pub fn slug(&self) -> &'static str {
        self.slug
    }

    /// What happened, for people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What is wrong with each field, for 422.
    #[must_use]
    pub fn errors(&self) -> &BTreeMap<String, Vec<String>> {
        &self.errors
    }

    /// The status in words, for people.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.status.canonical_reason().unwrap_or("Error")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": format!("/problems/{}", self.slug),
            "title": self.title(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if !self.errors.is_empty() {
            body["errors"] = json!(self.errors);
        }
        let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, content_type, body.to_string()).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        // for whoever would rather show a page
        response.extensions_mut().insert(self);
        response
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        match &error {
            DbError::NotFound => Self::not_found(),
            DbError::NulInText => Self::invalid_field("text", "must not contain a NUL character"),
            DbError::Busy | DbError::Closed | DbError::Missing(_) | DbError::Unavailable(_) => {
                tracing::warn!(%error, "unavailable");
                Self::unavailable()
            }
            DbError::Timeout => {
                tracing::warn!(
                    %error,
                    hint = "an index, fewer rows at a time, a job, or a plan with a longer one",
                    "a statement was stopped"
                );
                // not 503: it would take as long once more
                Self::new(
                    StatusCode::GATEWAY_TIMEOUT,
                    "timeout",
                    "This took longer than it may.",
                )
            }
            DbError::Full => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "storage-full",
                "There is no room left to store this.",
            ),
            _ => Self::internal(&error),
        }
    }
}

/// How long it takes until a job that waits is done nobody knows.
const UNTIL_JOBS_ARE_DONE: Duration = Duration::from_secs(30);

impl From<EnqueueError> for Problem {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Full { .. } => Self::too_many_requests(UNTIL_JOBS_ARE_DONE),
            EnqueueError::TooMany(wait) => Self::too_many_requests(wait),
            EnqueueError::Db(error) => error.into(),
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Anonymous => Self::authentication_required(),
            Refused::Forbidden => Self::forbidden(),
            Refused::Hidden => Self::not_found(),
        }
    }
}

impl From<ResourceError> for Problem {
    fn from(error: ResourceError) -> Self {
        match error {
            ResourceError::Refused(refused) => refused.into(),
            ResourceError::Invalid(errors) => Self::invalid(errors),
            ResourceError::Conflict { slug, detail } => {
                Self::new(StatusCode::CONFLICT, slug, detail)
            }
            ResourceError::Changed => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "changed-meanwhile",
                "It is not what it was when you last saw it. Look at it again.",
            ),
            ResourceError::KeyReused => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "That Idempotency-Key was used for another request.",
            ),
            ResourceError::Plan(limit) => limit.into(),
            ResourceError::Db(error) => error.into(),
        }
    }
}

impl From<SignInError> for Problem {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::InvalidCredentials => Self::invalid_credentials(),
            SignInError::SecondFactor => Self::new(
                StatusCode::UNAUTHORIZED,
                "second-factor-required",
                "A code of the second factor is needed.",
            ),
            SignInError::TooMany(wait) => Self::too_many_requests(wait),
            SignInError::Busy => Self::unavailable(),
            SignInError::Db(error) => error.into(),
        }
    }
}

impl From<UserError> for Problem {
    fn from(error: UserError) -> Self {
        match error {
            UserError::EmailTaken => Self::new(
                StatusCode::CONFLICT,
                "email-taken",
                "There is a user with that e-mail address.",
            ),
            UserError::Password(error) => error.into(),
            UserError::Db(error) => error.into(),
        }
    }
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::TooLong => Self::invalid_field("password", "is too long"),
            PasswordError::Busy | PasswordError::Unavailable => Self::unavailable(),
        }
    }
}

impl From<LinkError> for Problem {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Invalid => Self::invalid_token(),
            LinkError::User(error) => error.into(),
        }
    }
}

impl From<OperatorError> for Problem {
    fn from(error: OperatorError) -> Self {
        match error {
            OperatorError::EmailTaken => UserError::EmailTaken.into(),
            OperatorError::Forbidden => Self::forbidden(),
            OperatorError::Password(error) => error.into(),
            OperatorError::Db(error) => error.into(),
        }
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::EmailTaken => UserError::EmailTaken.into(),
            AccountError::Link => Self::invalid_token(),
            AccountError::Password(error) => error.into(),
            AccountError::Db(error) => error.into(),
        }
    }
}

impl From<MemberError> for Problem {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::Owner => Self::new(
                StatusCode::CONFLICT,
                "owner",
                "There is one owner, who passes that on before anything else.",
            ),
            MemberError::AlreadyMember => Self::new(
                StatusCode::CONFLICT,
                "already-member",
                "They are a member already.",
            ),
            MemberError::Invalid => Self::invalid_token(),
            MemberError::Account(error) => error.into(),
            MemberError::Db(error) => error.into(),
        }
    }
}

impl From<DomainError> for Problem {
    fn from(error: DomainError) -> Self {
        let said = sentence(&error.to_string());
        let conflict = |slug| Self::new(StatusCode::CONFLICT, slug, said);
        match error {
            DomainError::Taken => conflict("domain-taken"),
            DomainError::TooMany => conflict("too-many-domains"),
            DomainError::NotVerified => conflict("domain-not-verified"),
            DomainError::NoRecord(_) => conflict("domain-record-missing"),
            DomainError::Reserved => Self::invalid_field("host", "is the deployment's own"),
            DomainError::TooLong => Self::invalid_field("host", "is too long"),
            DomainError::NotFound => Self::not_found(),
            DomainError::TooOften(wait) => Self::too_many_requests(wait),
            DomainError::NotPossible => Self::tenant_not_found(),
            DomainError::NameServers(error) => {
                tracing::warn!(%error, "the name servers cannot be asked");
                Self::unavailable()
            }
            DomainError::Db(error) => error.into(),
        }
    }
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().into_iter().flat_map(char::to_uppercase);
    first.chain(rest.as_str().chars()).chain(['.']).collect()
}

impl From<LifecycleError> for Problem {
    fn from(error: LifecycleError) -> Self {
        match error {
            LifecycleError::CodeTaken => {
                Self::new(StatusCode::CONFLICT, "code-taken", "That code is taken.")
            }
            LifecycleError::NotPossible => Self::tenant_not_found(),
            LifecycleError::UnderWay | LifecycleError::ShuttingDown => Self::unavailable(),
            LifecycleError::Db(error) => error.into(),
            other => Self::internal(&other),
        }
    }
}
