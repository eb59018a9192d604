use std::sync::{Arc, LazyLock};

use serde_json::Value;
use tenantry::testing::NameServer;

use super::{Place, Server, text};

/// The name server that all tests ask. Each has hosts of its own there.
pub(crate) fn names() -> &'static NameServer {
    static NAMES: LazyLock<NameServer> = LazyLock::new(NameServer::start);
    &NAMES
}

/// Serves a place where that name server is asked.
pub(crate) fn serve_with_names(place: &Arc<Place>) -> Arc<Server> {
    let addr = names().addr().to_string();
    Server::start(place, &[("SHOP_NAME_SERVERS", &addr)])
}

/// Sets the record that shows a domain to be whose it is, as the answer says.
pub(crate) fn publish(domain: &Value) {
    let record = &domain["record"];
    names().set(&text(&record["name"]), [text(&record["value"])]);
}
