//! The JSON API, row by row as it is promised.

mod auth;
mod lists;
mod operators;
mod people;
mod products;
mod shops;
mod users;

use serde_json::Value;

/// Fails unless the object has just these fields.
#[track_caller]
fn has_fields(object: &Value, fields: &[&str]) {
    let mut expected = fields.to_vec();
    expected.sort_unstable();
    let mut found: Vec<_> = object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    found.sort_unstable();
    assert_eq!(found, expected, "{object}");
}

/// Fails unless it is a moment of the last minute.
#[track_caller]
fn is_now(moment: &Value) {
    let moment = chrono::DateTime::parse_from_rfc3339(moment.as_str().unwrap()).unwrap();
    let age = chrono::Utc::now().signed_duration_since(moment);
    assert!(age.num_seconds().abs() < 60, "{moment}");
}
