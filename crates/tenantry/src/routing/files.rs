//! Files over HTTP: taken in as a stream, and answered whole or in part.
//!
//! ```
//! use axum::{body::Body, http::{HeaderMap, Method, StatusCode}, response::Response};
//! use tenantry::{routing::{Path, Result, Routes, files}, scoped::files::{FileName, Files}};
//!
//! async fn upload(files: Files, Path(name): Path<FileName>, body: Body) -> Result<StatusCode> {
//!     files::receive(&files, &name, body.into_data_stream(), 100 << 20).await?;
//!     Ok(StatusCode::NO_CONTENT)
//! }
//!
//! async fn download(files: Files, Path(name): Path<FileName>, headers: HeaderMap) -> Result<Response> {
//!     files::answer(&files, &name, &headers).await
//! }
//!
//! fn routes(routes: Routes) -> Routes {
//!     routes
//!         .tenant(Method::PUT, "/api/files/{*name}", upload)
//!         .tenant(Method::GET, "/api/files/{*name}", download)
//!         // for whoever was given a link that is signed
//!         .tenant(Method::GET, "/files/{*name}", files::signed)
//! }
//! ```

use std::ops::Range;

use axum::{
    body::Body,
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::{
    Path, Problem, Query, Result,
    body::{DRAINED, malformed},
};
use crate::{
    Tenancy,
    scoped::files::{FileError, FileName, Files, Found, Signature, Stored, escaped},
    tenant::Tenant,
};

/// What a browser may do with a file that it shows: nothing.
const SANDBOX: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'");

/// Kept by the reader alone, who asks each time whether it still is what it was.
const ASKED_AGAIN: HeaderValue = HeaderValue::from_static("private, no-cache");

impl<S: Sync> FromRequestParts<S> for Files {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let tenancy = Tenancy::from_request_parts(parts, state).await?;
        let tenant = <Tenant as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        Ok(tenancy.files(&tenant))
    }
}

/// Puts what a request carries (`Body::into_data_stream`, or a field of a form) under that name, as
/// [`Files::put`]. What the client says that it is, is not asked for.
///
/// # Errors
/// 413 when it has more than `most` bytes, 400 when it ends before its time, 507 when there is no
/// room, 403 `plan-limit` when the tenant's files would have more bytes than its plan allows: nothing
/// is left of it then.
pub async fn receive<S, E>(
    files: &Files,
    name: &FileName,
    mut bytes: S,
    most: u64,
) -> Result<Stored>
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stored = files.put(name, &mut bytes, most).await;
    if stored.is_err() {
        drain(&mut bytes).await;
    }
    Ok(stored?)
}

/// Reads what else a client sends, so that one that sends before it listens gets the answer.
async fn drain<E>(bytes: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin)) {
    let mut length = 0;
    while let Some(Ok(piece)) = bytes.next().await {
        length += piece.len();
        if length > DRAINED {
            return;
        }
    }
}

/// Answers with a file: all of it, the part that `Range` names, or 304 to whoever has it
/// (`If-None-Match`). What may hold a script is not shown in the browser but saved.
///
/// # Errors
/// 404 when there is none, 416 when it has no such part.
pub async fn answer(files: &Files, name: &FileName, headers: &HeaderMap) -> Result<Response> {
    // it may be replaced between being found and being read
    for _ in 0..3 {
        let found = files.find(name).await?;
        match answer_with(&found, headers).await {
            Err(FileError::Changed) => {}
            other => return Ok(other?),
        }
    }
    Err(FileError::Changed.into())
}

/// Answers whoever has a link that is [signed](Files::sign) with the file that it is for. It is for a
/// route whose last parameter is the name: `/files/{*name}`.
///
/// # Errors
/// 403 when the link is for something else, or no longer good; as [`answer`].
pub async fn signed(
    files: Files,
    Path(name): Path<FileName>,
    signature: Result<Query<Signature>>,
    headers: HeaderMap,
) -> Result<Response> {
    let Query(signature) = signature.map_err(|_| FileError::Signature)?;
    files.verify(&name, &signature).await?;
    answer(&files, &name, &headers).await
}

async fn answer_with(found: &Found, headers: &HeaderMap) -> Result<Response, FileError> {
    let info = &found.info;
    let mut about = HeaderMap::new();
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::try_from(value) {
            about.insert(name, value);
        }
    };
    set(header::ETAG, &info.etag);
    set(header::ACCEPT_RANGES, "bytes");
    if found.kind.is_shown() {
        set(header::CONTENT_TYPE, found.kind.as_str());
        set(header::CONTENT_DISPOSITION, "inline");
    } else {
        set(header::CONTENT_TYPE, "application/octet-stream");
        let name = escaped(info.name.last(), false);
        let saved = format!("attachment; filename*=UTF-8''{name}");
        set(header::CONTENT_DISPOSITION, &saved);
    }
    about.insert(header::CACHE_CONTROL, ASKED_AGAIN);
    about.insert(header::CONTENT_SECURITY_POLICY, SANDBOX);
    about.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if is_known(headers, &info.etag) {
        return Ok((StatusCode::NOT_MODIFIED, about).into_response());
    }
    let (status, range) = match part(headers, &info.etag, info.bytes) {
        Part::Whole => (StatusCode::OK, 0..info.bytes),
        Part::Of(range) => (StatusCode::PARTIAL_CONTENT, range),
        Part::Nowhere => {
            let problem = Problem::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "range-not-satisfiable",
                "The file has no such part.",
            );
            let all = [(header::CONTENT_RANGE, format!("bytes */{}", info.bytes))];
            return Ok((all, problem).into_response());
        }
    };
    if status == StatusCode::PARTIAL_CONTENT {
        let (first, last) = (range.start, range.end - 1);
        let said = format!("bytes {first}-{last}/{}", info.bytes);
        about.extend(HeaderValue::try_from(said).map(|said| (header::CONTENT_RANGE, said)));
    }
    about.insert(header::CONTENT_LENGTH, (range.end - range.start).into());
    let bytes = found.read(range).await?;
    Ok((status, about, Body::from_stream(bytes)).into_response())
}

/// Whether whoever asks has what is there.
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == etag || tag == "*")
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Of(Range<u64>),
    /// It has no such part.
    Nowhere,
}

/// What part is asked for ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-14)). Several at
/// once, and what cannot be read, are answered with the whole, as that permits.
fn part(headers: &HeaderMap, etag: &str, length: u64) -> Part {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(asked) = text(header::RANGE) else {
        return Part::Whole;
    };
    // of another version than they have, they take the whole
    if headers.contains_key(header::IF_RANGE) && text(header::IF_RANGE) != Some(etag) {
        return Part::Whole;
    }
    let numbers = asked
        .strip_prefix("bytes=")
        .and_then(|one| one.split_once('-'));
    let Some((first, last)) = numbers else {
        return Part::Whole;
    };
    let number = |text: &str| -> Option<Option<u64>> {
        match text.trim() {
            "" => Some(None),
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                // more than can be counted is more than there is
                Some(Some(digits.parse().unwrap_or(u64::MAX)))
            }
            _ => None,
        }
    };
    let range = match (number(first), number(last)) {
        (Some(None), Some(Some(last))) => length.saturating_sub(last)..length,
        (Some(Some(first)), Some(None)) => first..length,
        (Some(Some(first)), Some(Some(last))) if first <= last => {
            first..last.saturating_add(1).min(length)
        }
        _ => return Part::Whole,
    };
    match range.start < range.end {
        true => Part::Of(range),
        false => Part::Nowhere,
    }
}

impl From<FileError> for Problem {
    fn from(error: FileError) -> Self {
        match error {
            FileError::NotFound => Self::not_found(),
            FileError::NoTenant => Self::tenant_not_found(),
            FileError::Full => crate::db::DbError::Full.into(),
            FileError::Changed => Self::unavailable(),
            FileError::Interrupted(_) => malformed("The body ended before its time."),
            FileError::TooLarge { most } => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "payload-too-large",
                format!("The file has more than {most} bytes."),
            ),
            FileError::Storage { most } => Self::new(
                StatusCode::FORBIDDEN,
                "plan-limit",
                format!("Your plan allows {most} bytes of files, and this would be more."),
            ),
            FileError::Occupied => Self::new(
                StatusCode::CONFLICT,
                "name-taken",
                "There is a file where this one would have a folder, or the other way round.",
            ),
            FileError::Signature => Self::new(
                StatusCode::FORBIDDEN,
                "invalid-link",
                "This link is not good here, or no longer.",
            ),
            FileError::Db(error) => error.into(),
            FileError::Store(_) => Self::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::{Part, part};

    #[test]
    fn parts_are_read_as_the_standard_has_them() {
        let of = |asked: &'static str, if_range: Option<&'static str>, length| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, HeaderValue::from_static(asked));
            if let Some(tag) = if_range {
                headers.insert(header::IF_RANGE, HeaderValue::from_static(tag));
            }
            part(&headers, "\"tag\"", length)
        };
        for (asked, expected) in [
            ("bytes=0-0", Part::Of(0..1)),
            ("bytes=0-9", Part::Of(0..10)),
            ("bytes=2-99", Part::Of(2..10)),
            ("bytes=9-", Part::Of(9..10)),
            ("bytes=-3", Part::Of(7..10)),
            ("bytes=-99", Part::Of(0..10)),
            ("bytes=0-18446744073709551615", Part::Of(0..10)),
            ("bytes=0-99999999999999999999", Part::Of(0..10)),
            ("bytes=10-", Part::Nowhere),
            ("bytes=10-20", Part::Nowhere),
            ("bytes=-0", Part::Nowhere),
            ("bytes=5-2", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("lines=1-2", Part::Whole),
        ] {
            assert_eq!(of(asked, None, 10), expected, "{asked}");
        }
        assert_eq!(of("bytes=0-0", None, 0), Part::Nowhere);
        assert_eq!(of("bytes=0-0", Some("\"tag\""), 10), Part::Of(0..1));
        assert_eq!(of("bytes=0-0", Some("\"other\""), 10), Part::Whole);
        assert_eq!(part(&HeaderMap::new(), "", 10), Part::Whole);
    }
}
