//! Static files, built into the program.

use axum::{
    http::{HeaderName, header},
    response::IntoResponse,
};

const CACHED: (HeaderName, &str) = (header::CACHE_CONTROL, "public, max-age=300");

pub(crate) async fn style() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8"), CACHED],
        include_str!("../../assets/style.css"),
    )
}

pub(crate) async fn live() -> impl IntoResponse {
    (
        [
            (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
            CACHED,
        ],
        include_str!("../../assets/live.js"),
    )
}

pub(crate) async fn favicon() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "image/svg+xml"), CACHED],
        include_str!("../../assets/favicon.svg"),
    )
}
