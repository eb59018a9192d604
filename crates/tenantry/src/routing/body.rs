//! Bodies, queries and paths whose refusals are problems.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use serde::{Serialize, de::DeserializeOwned};

use super::Problem;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The most bytes a body may have.
const LONGEST: usize = 1 << 20;

/// How much more of a body that is too long is read and thrown away, so that a client that sends
/// before it listens gets the answer instead of a broken connection.
pub(super) const DRAINED: usize = 32 << 20;

/// A JSON body, of a request or of a response.
///
/// A request is refused with 415 when its type is not JSON, 413 above 1 MiB, 400 when it is
/// malformed, and 422 with the field when it is not what `T` wants. As an `Option` it is none where the
/// request has no body.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        require_json(request.headers())?;
        let bytes = read(request.into_body()).await?;
        from_json(&bytes).map(Self)
    }
}

impl<S: Sync, T: DeserializeOwned> OptionalFromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Problem> {
        if request.body().is_end_stream() {
            return Ok(None);
        }
        <Self as FromRequest<S>>::from_request(request, state)
            .await
            .map(Some)
    }
}

/// Room for most answers: written into less, an answer is copied each time that it doubles.
const ROOM: usize = 1024;

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        // straight into memory, which takes half as long as through `bytes`' own writer, as axum does it
        let mut text = Vec::with_capacity(ROOM);
        match serde_json::to_writer(&mut text, &self.0) {
            Ok(()) => ([(header::CONTENT_TYPE, JSON)], text).into_response(),
            Err(error) => {
                tracing::error!(%error, "an answer cannot be written as JSON");
                Problem::failed().into_response()
            }
        }
    }
}

pub(super) fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    require_type(headers, |essence| {
        essence == "application/json"
            || (essence.starts_with("application/") && essence.ends_with("+json"))
    })
}

pub(super) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        match error.classify() {
            serde_json::error::Category::Data => wrong_shape(&path, &error.to_string()),
            _ => malformed("The body is not well-formed JSON."),
        }
    })?;
    json.end()
        .map_err(|_| malformed("Something follows the JSON document."))?;
    Ok(value)
}

/// A form as a browser posts it; refused like [`Json`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Form<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Form<T> {
    type Rejection = Problem;

    async fn from_request(mut request: Request, _: &S) -> Result<Self, Problem> {
        require_type(request.headers(), |essence| {
            essence == "application/x-www-form-urlencoded"
        })?;
        let bytes = read(std::mem::take(request.body_mut())).await?;
        *request.body_mut() = Body::from(bytes);
        axum::Form::from_request(request, &())
            .await
            .map(|axum::Form(value)| Self(value))
            .map_err(|error| wrong_shape("", &error.body_text()))
    }
}

/// The query string; refused with 422.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|error| {
                let text = error.body_text();
                // "Failed to deserialize query string: limit: invalid digit …"
                let detail = text
                    .split_once(": ")
                    .map_or(text.as_str(), |(_, rest)| rest);
                match detail.split_once(": ") {
                    Some((field, message)) => Problem::invalid_field(field, message),
                    None => wrong_shape("", detail),
                }
            })
    }
}

/// The parameters in the path. What is no such parameter leads nowhere: 404.
#[derive(Debug, Clone, Copy, Default)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(value)| Self(value))
            .map_err(|_| Problem::not_found())
    }
}

fn require_type(headers: &HeaderMap, fits: impl Fn(&str) -> bool) -> Result<(), Problem> {
    let essence = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| {
            value
                .split(';')
                .next()
                .unwrap_or("")
                .trim()
                .to_ascii_lowercase()
        });
    if essence.as_deref().is_some_and(fits) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        "The body's Content-Type is not the one that is understood here.",
    ))
}

pub(super) async fn read(mut body: Body) -> Result<Bytes, Problem> {
    let mut bytes = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| malformed("The body ended before its time."))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length += data.len();
        if length <= LONGEST {
            bytes.extend_from_slice(&data);
        } else if length > DRAINED {
            break;
        }
    }
    if length > LONGEST {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload-too-large",
            "The body has more than 1 MiB.",
        ));
    }
    Ok(bytes.freeze())
}

pub(super) fn malformed(detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed", detail)
}

/// A 422 out of serde's message.
fn wrong_shape(path: &str, message: &str) -> Problem {
    let message = message.split(" at line ").next().unwrap_or(message);
    let path = if path == "." { "" } else { path };
    let (field, message) = match quoted(message, "missing field `") {
        Some(missing) if path.is_empty() => (missing.into(), "is required".into()),
        Some(missing) => (format!("{path}.{missing}"), "is required".into()),
        None if path.is_empty() => ("body".into(), message.to_owned()),
        None => (path.to_owned(), message.to_owned()),
    };
    Problem::invalid(BTreeMap::from([(field, vec![message])]))
}

fn quoted<'m>(message: &'m str, before: &str) -> Option<&'m str> {
    message
        .split_once(before)
        .and_then(|(_, rest)| rest.split('`').next())
}
