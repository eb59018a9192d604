//! Without the feature `opentelemetry` no span is exported, and there is nothing to tell of one.

use std::{fmt::Display, sync::Arc};

use tracing::Span;

use crate::Tenant;

/// There is none.
#[derive(Clone)]
pub(crate) enum Exported {}

impl Exported {
    pub(crate) const fn request(
        _: &Span,
        _: &'static str,
        _: bool,
        _: Option<&str>,
    ) -> Option<Self> {
        None
    }

    pub(crate) fn job(
        _: &Span,
        _: &Tenant,
        _: &str,
        _: impl Display,
        _: i32,
        _: Option<&str>,
    ) -> Option<Self> {
        None
    }

    pub(crate) fn trace(&self) -> Arc<str> {
        match *self {}
    }

    pub(crate) fn belongs_to(&self, _: &Tenant) {
        match *self {}
    }

    pub(crate) fn takes(&self, _: &str) {
        match *self {}
    }

    pub(crate) fn answered(&self, _: u16) {
        match *self {}
    }

    pub(crate) fn ended(&self, _: Option<&'static str>) {
        match *self {}
    }
}
