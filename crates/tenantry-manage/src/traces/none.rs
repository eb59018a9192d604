//! Without the feature `otlp` nothing is exported.

use tracing_subscriber::layer::Identity;
use url::Url;

use crate::{Application, Error};

/// There is none.
pub(crate) enum Traces {}

impl Traces {
    #[expect(
        clippy::extra_unused_type_parameters,
        reason = "it is called as the other is"
    )]
    pub(crate) fn begin<A: Application>(_: Option<&Url>) -> Result<Option<Self>, Error> {
        Ok(None)
    }

    pub(crate) fn layer(&self) -> Identity {
        match *self {}
    }

    pub(crate) fn end(self) {
        match self {}
    }
}
