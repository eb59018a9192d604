//! The pages that people see: rendered here, without scripts.

pub(crate) mod assets;
pub(crate) mod companies;
pub(crate) mod customers;
pub(crate) mod drafts;
pub(crate) mod front;
pub(crate) mod invitation;
pub(crate) mod invoices;
pub(crate) mod members;
pub(crate) mod password;
pub(crate) mod sign_in;

use std::collections::BTreeMap;

use askama::Template;
use axum::{
    extract::{FromRef, FromRequestParts, Request},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{Html, IntoResponse, Redirect, Response},
};
use tenantry::{
    policy::{Permissions, Principal},
    resources::ResourceError,
    routing::{self, Result, Site},
};

/// Nothing but our own style, pictures and forms.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'",
);

fn html(status: StatusCode, template: &impl Template) -> Result<Response> {
    let text = template
        .render()
        .map_err(|error| routing::Problem::internal(&error))?;
    let headers = [(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY)];
    Ok((status, headers, Html(text)).into_response())
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    title: String,
    detail: String,
    errors: Vec<String>,
    status: u16,
}

/// That whoever asks has to sign in before anything else.
#[derive(Debug, Clone, Copy)]
struct SignInFirst;

/// A problem as a page, for whoever asks for HTML.
pub(crate) fn problem(problem: &routing::Problem) -> Response {
    let errors = problem.errors().iter().flat_map(|(field, messages)| {
        let field = field.replace('_', " ");
        messages
            .iter()
            .map(move |message| format!("{field} {message}"))
    });
    let page = ProblemPage {
        title: problem.title().into(),
        detail: problem.detail().into(),
        errors: errors.collect(),
        status: problem.status().as_u16(),
    };
    let shown = html(problem.status(), &page);
    let mut shown = shown.unwrap_or_else(|_| problem.status().into_response());
    if problem.slug() == "authentication-required" {
        shown.extensions_mut().insert(SignInFirst);
    }
    shown
}

/// Sends whoever is not signed in to where they do that, and back to the page that they asked for.
pub(crate) async fn sign_in_first(request: Request, next: Next) -> Response {
    let back = (request.method() == Method::GET)
        .then(|| request.uri().path_and_query().map(ToString::to_string))
        .flatten();
    let response = next.run(request).await;
    if response.extensions().get::<SignInFirst>().is_none() {
        return response;
    }
    let place = match back {
        Some(back) => format!("/sign-in?next={}", encoded(&back)),
        None => "/sign-in".to_owned(),
    };
    Redirect::to(&place).into_response()
}

/// As the value of a query's parameter.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(byte.into());
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

/// What stands around a company's pages, for one of its members.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    company: String,
    /// What the paths of its pages begin with.
    base: String,
    /// Which of its sections the page is in.
    section: String,
    email: String,
    role: String,
    may: Permissions,
}

impl Frame {
    /// A path of the company's.
    fn path(&self, rest: &str) -> String {
        format!("{}{rest}", self.base)
    }

    fn to(&self, rest: &str) -> Response {
        Redirect::to(&self.path(rest)).into_response()
    }

    /// Whether this may be done to the company itself.
    fn may(&self, action: &str) -> bool {
        self.may.require(action, &[]).is_ok()
    }
}

impl<S: Sync> FromRequestParts<S> for Frame
where
    Site: FromRef<S>,
{
    type Rejection = routing::Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let may = Permissions::from_request_parts(parts, state).await?;
        let Principal::User { email, roles, .. } = may.principal() else {
            return Err(routing::Problem::authentication_required());
        };
        let tenant = may.tenant();
        let section = parts.uri.path().split('/').nth(1);
        Ok(Self {
            section: section.unwrap_or_default().into(),
            company: tenant.name().into(),
            base: Site::from_ref(state).path(tenant, ""),
            email: email.clone(),
            role: roles.join(", "),
            may: may.clone(),
        })
    }
}

/// What was wrong with a submitted form, and what was submitted.
#[derive(Debug, Default, Clone)]
struct Submitted {
    values: BTreeMap<String, String>,
    errors: BTreeMap<String, Vec<String>>,
}

/// A form as it comes, field by field.
type Fields = Vec<(String, String)>;

impl Submitted {
    /// Empty, or as something is now.
    fn of<const N: usize>(values: [(&str, String); N]) -> Self {
        Self {
            values: values.map(|(name, value)| (name.to_owned(), value)).into(),
            errors: BTreeMap::new(),
        }
    }

    fn value(&self, field: &str) -> &str {
        self.values.get(field).map_or("", String::as_str)
    }

    fn errors(&self, field: &str) -> &[String] {
        self.errors.get(field).map_or(&[], Vec::as_slice)
    }

    /// Those that belong to none of these.
    fn others(&self, fields: &[&str]) -> Vec<String> {
        let others = self
            .errors
            .iter()
            .filter(|(field, _)| !fields.contains(&field.as_str()));
        others
            .flat_map(|(field, messages)| {
                messages.iter().map(move |text| format!("{field} {text}"))
            })
            .collect()
    }

    fn is_refused(&self) -> bool {
        !self.errors.is_empty()
    }
}

/// What comes with a form: its fields, by name.
#[derive(Debug, Default)]
struct Given(BTreeMap<String, String>, BTreeMap<String, Vec<String>>);

impl Given {
    fn new(fields: Fields) -> Self {
        Self(fields.into_iter().collect(), BTreeMap::new())
    }

    fn text(&self, field: &str) -> String {
        let text = self.0.get(field).map_or("", |text| text.trim());
        text.replace("\r\n", "\n")
    }

    /// As a program would read it; else it is noted that it cannot be.
    fn read<T>(&mut self, field: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.text(field);
        let value = (!text.is_empty()).then(|| read(&text)).flatten();
        if value.is_none() {
            let message = if text.is_empty() {
                "is required"
            } else {
                "cannot be read"
            };
            self.1.entry(field.into()).or_default().push(message.into());
        }
        value
    }

    /// Fails with what could not be read.
    fn finish<T>(&self, read: Option<T>) -> Result<T> {
        read.ok_or_else(|| routing::Problem::invalid(self.1.clone()))
    }

    /// The form again, when what it said cannot be taken; else the problem.
    fn again(self, problem: routing::Problem) -> Result<Submitted> {
        let errors = match problem.slug() {
            "invalid" => problem.errors().clone(),
            _ if problem.status() == StatusCode::CONFLICT => {
                BTreeMap::from([(String::new(), vec![problem.detail().to_owned()])])
            }
            _ => return Err(problem),
        };
        Ok(Submitted {
            values: self.0,
            errors,
        })
    }
}

/// What people are told of it.
fn problem_of(error: ResourceError) -> routing::Problem {
    error.into()
}
