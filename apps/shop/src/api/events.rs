//! What happens in a shop, live.

use axum::response::Response;
use tenantry::{
    routing::{
        Can, Result,
        live::{Live, Socket},
    },
    scoped::jobs,
};

use crate::{access::ImportProducts as MayImport, models::product};

/// What a shop sells anybody may see, and so when that changes.
pub(crate) async fn products(live: Live) -> Result<Response> {
    live.events([product::TOPIC])
}

pub(crate) async fn products_socket(socket: Socket) -> Result<Response> {
    socket.events([product::TOPIC])
}

/// How far imports are, to those who may import.
pub(crate) async fn jobs(live: Live, _: Can<MayImport>) -> Result<Response> {
    live.only_while::<Can<MayImport>>().events([jobs::TOPIC])
}
