//! Handlers for a [`Resource`] that needs nothing else:
//!
//! ```
//! use axum::http::Method;
//! use tenantry::{resources::Writable, routing::{Routes, resource}};
//!
//! fn routes<W: Writable>(routes: Routes, path: &str) -> Routes {
//!     let one = format!("{path}/{{id}}");
//!     routes
//!         .tenant(Method::GET, path, resource::list::<W>)
//!         .tenant(Method::POST, path, resource::create::<W>)
//!         .tenant(Method::GET, &one, resource::show::<W>)
//!         .tenant(Method::PUT, &one, resource::replace::<W>)
//!         .tenant(Method::PATCH, &one, resource::update::<W>)
//!         .tenant(Method::DELETE, &one, resource::delete::<W>)
//! }
//! ```
//!
//! Each is a few lines over [`Collection`] and [`Item`], and can be written by hand where something
//! is to be different.

use std::collections::BTreeMap;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use garde::Validate;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::{Collection, Item, Problem, Query, Result, body};
use crate::{
    policy::{Node, Permissions},
    resources::{
        self, Answered, IdempotencyKey, Match, Page, Resource, ResourceError, Shown, Wanted,
        Writable, etag,
    },
};

/// How many objects can be made at once.
const MOST_AT_ONCE: usize = 500;

/// The longest `Idempotency-Key`.
const LONGEST_KEY: usize = 200;

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
static REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// `GET` of a list: a page of what whoever asks may look at. It takes `limit`, `cursor`, `order`, `q`
/// and the resource's filters.
///
/// # Errors
/// What it is refused for, here and below.
pub async fn list<R: Resource>(
    collection: Collection<R>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<super::Json<Page<Shown<R>>>> {
    let Collection {
        parent,
        db,
        permissions,
        ..
    } = collection;
    let wanted = Wanted::parse(parameters)?;
    let page = resources::page::<R>(&db, &permissions, &parent, &wanted).await?;
    Ok(super::Json(page.map(|object| {
        let node = Node {
            object,
            parent: parent.clone(),
        };
        Shown::to(node, &permissions)
    })))
}

/// `GET` of one, with its `ETag`; 304 for whoever has it.
///
/// # Errors
/// As [`list`].
pub async fn show<R: Resource>(item: Item<R>, headers: HeaderMap) -> Result<Response> {
    let Item {
        node, permissions, ..
    } = item;
    let shown = Shown::to(node, &permissions);
    let tag = etag(&shown);
    let known = tags(&headers, &header::IF_NONE_MATCH)
        .is_some_and(|tags| tags.contains(&tag) || tags.iter().any(|one| one == "*"));
    if known {
        return Ok((StatusCode::NOT_MODIFIED, tagged(&tag)?).into_response());
    }
    Ok((tagged(&tag)?, super::Json(shown)).into_response())
}

/// `POST` to a list: makes one object, or all that an array has. With an `Idempotency-Key` it is done
/// once, however often it is sent.
///
/// # Errors
/// As [`list`]. Of an array all are made, or none.
pub async fn create<W: Writable>(collection: Collection<W>, request: Request) -> Result<Response> {
    let (parts, sent) = request.into_parts();
    // who may not is told so before what is wrong with what they sent
    let Collection {
        permissions,
        parent,
        ..
    } = &collection;
    permissions.require_in::<W::Parent>(W::CREATE, parent, &[])?;
    body::require_json(&parts.headers)?;
    let sent = body::read(sent).await?;
    let key = key(&parts.headers, &parts.method, &collection.location, &sent)?;
    let Collection {
        db,
        permissions,
        path,
        location,
        ..
    } = collection;
    let is_many = matches!(
        sent.iter().find(|byte| !byte.is_ascii_whitespace()),
        Some(b'[')
    );
    let new = if is_many {
        many::<W::New>(&sent)?
    } else {
        vec![one::<W::New>(&sent)?]
    };
    let created = resources::create::<W>(&db, &permissions, &path, new, key.as_ref()).await?;
    let location = |id: &str| HeaderValue::try_from(format!("{location}/{id}"));
    match created {
        Answered::Now(mut nodes) if !is_many && nodes.len() == 1 => {
            let node = nodes.remove(0);
            let at = location(&node.object.id().to_string());
            let at = at.map_err(|error| Problem::internal(&error))?;
            let mut response = answer(StatusCode::CREATED, node, &permissions)?;
            response.headers_mut().insert(header::LOCATION, at);
            Ok(response)
        }
        Answered::Now(nodes) => {
            let items: Vec<_> = nodes
                .into_iter()
                .map(|node| Shown::to(node, &permissions))
                .collect();
            let page = Page { items, next: None };
            Ok((StatusCode::CREATED, super::Json(page)).into_response())
        }
        Answered::Before(mut answer) => {
            let replayed = [(REPLAYED.clone(), HeaderValue::from_static("true"))];
            let answer = match answer.as_array_mut() {
                Some(items) if !is_many && items.len() == 1 => items.remove(0),
                _ => serde_json::json!({ "items": answer, "next": null }),
            };
            let at = answer["id"].as_str().and_then(|id| location(id).ok());
            let mut response = (StatusCode::CREATED, replayed, super::Json(answer)).into_response();
            if let Some(at) = at {
                response.headers_mut().insert(header::LOCATION, at);
            }
            Ok(response)
        }
    }
}

/// `PUT`: replaces all that can be changed of it. With `If-Match` only what was last seen.
///
/// # Errors
/// As [`list`].
pub async fn replace<W: Writable>(
    item: Item<W>,
    headers: HeaderMap,
    Sent(sent): Sent,
) -> Result<Response> {
    item.permissions.require_on(W::UPDATE, &item.node, &[])?;
    let (new, fields) = one::<W::New>(&sent)?;
    write(item, &headers, &fields, |object| object.replace(new)).await
}

/// `PATCH`: changes the fields that are sent. With `If-Match` only of what was last seen.
///
/// # Errors
/// As [`list`].
pub async fn update<W: Writable>(
    item: Item<W>,
    headers: HeaderMap,
    Sent(sent): Sent,
) -> Result<Response> {
    item.permissions.require_on(W::UPDATE, &item.node, &[])?;
    let (change, fields) = one::<W::Change>(&sent)?;
    write(item, &headers, &fields, |object| object.change(change)).await
}

async fn write<W: Writable>(
    item: Item<W>,
    headers: &HeaderMap,
    fields: &[String],
    apply: impl FnOnce(&mut W) + Send,
) -> Result<Response> {
    let Item {
        db,
        permissions,
        path,
        ..
    } = item;
    let fields: Vec<_> = fields.iter().map(String::as_str).collect();
    let matching = matching(headers);
    let node = resources::change(&db, &permissions, &path, &matching, &fields, apply).await?;
    answer(StatusCode::OK, node, &permissions)
}

/// `DELETE`. With `If-Match` only what was last seen.
///
/// # Errors
/// As [`list`].
pub async fn delete<W: Writable>(item: Item<W>, headers: HeaderMap) -> Result<StatusCode> {
    let Item {
        db,
        permissions,
        path,
        ..
    } = item;
    resources::remove::<W>(&db, &permissions, &path, &matching(&headers)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A body of JSON, as it was sent.
#[derive(Debug)]
pub struct Sent(Bytes);

impl<S: Sync> axum::extract::FromRequest<S> for Sent {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        body::require_json(request.headers())?;
        body::read(request.into_body()).await.map(Self)
    }
}

fn answer<R: Resource>(
    status: StatusCode,
    node: Node<R>,
    permissions: &Permissions,
) -> Result<Response> {
    let shown = Shown::to(node, permissions);
    let tag = etag(&shown);
    Ok((status, tagged(&tag)?, super::Json(shown)).into_response())
}

fn tagged(tag: &str) -> Result<[(HeaderName, HeaderValue); 1]> {
    let tag = HeaderValue::try_from(tag).map_err(|error| Problem::internal(&error))?;
    Ok([(header::ETAG, tag)])
}

/// The tags in a header; none where it is not sent.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<String>> {
    headers.contains_key(name).then(|| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|tag| tag.trim().to_owned())
            .collect()
    })
}

fn matching(headers: &HeaderMap) -> Match {
    match tags(headers, &header::IF_MATCH) {
        None => Match::Anything,
        Some(tags) if tags.iter().any(|tag| tag == "*") => Match::Anything,
        Some(tags) => Match::Tags(tags),
    }
}

fn key(
    headers: &HeaderMap,
    method: &Method,
    path: &str,
    sent: &[u8],
) -> Result<Option<IdempotencyKey>> {
    let Some(key) = headers.get(&IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let key = key.to_str().unwrap_or_default().trim();
    if key.is_empty() || key.len() > LONGEST_KEY {
        let message = format!("must have 1 to {LONGEST_KEY} characters of ASCII");
        return Err(Problem::invalid_field("Idempotency-Key", message));
    }
    let request = [method.as_str().as_bytes(), path.as_bytes(), sent];
    Ok(Some(IdempotencyKey::new(key, &request)))
}

/// The value, if its type's rules let it be taken: for forms, and whatever else is not JSON.
///
/// # Errors
/// 422, with what is wrong with each field.
pub fn validated<T: Validate<Context = ()>>(value: T) -> Result<T> {
    let mut errors = BTreeMap::new();
    note(&value, "", &mut errors);
    if errors.is_empty() {
        Ok(value)
    } else {
        Err(Problem::invalid(errors))
    }
}

/// What was sent for one object, and which fields.
fn one<T: DeserializeOwned + Validate<Context = ()>>(sent: &[u8]) -> Result<(T, Vec<String>)> {
    let value = validated(body::from_json(sent)?)?;
    // of what it holds nothing is made: it may be nested deeper than is read
    let fields: BTreeMap<String, IgnoredAny> = body::from_json(sent)?;
    Ok((value, fields.into_keys().collect()))
}

fn many<T: DeserializeOwned + Validate<Context = ()>>(
    sent: &[u8],
) -> Result<Vec<(T, Vec<String>)>> {
    let values: Vec<T> = body::from_json(sent)?;
    if values.is_empty() || values.len() > MOST_AT_ONCE {
        let message = format!("must have 1 to {MOST_AT_ONCE} objects");
        return Err(ResourceError::invalid("body", message).into());
    }
    let mut errors = BTreeMap::new();
    for (number, value) in values.iter().enumerate() {
        note(value, &format!("{number}."), &mut errors);
    }
    if !errors.is_empty() {
        return Err(Problem::invalid(errors));
    }
    let fields: Vec<BTreeMap<String, IgnoredAny>> = body::from_json(sent)?;
    let fields = fields.into_iter().map(|one| one.into_keys().collect());
    Ok(values.into_iter().zip(fields).collect())
}

fn note<T: Validate<Context = ()>>(
    value: &T,
    before: &str,
    errors: &mut BTreeMap<String, Vec<String>>,
) {
    if let Err(report) = value.validate() {
        for (path, error) in report.iter() {
            let messages = errors.entry(format!("{before}{path}")).or_default();
            messages.push(error.message().to_owned());
        }
    }
}
