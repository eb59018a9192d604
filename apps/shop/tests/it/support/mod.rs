//! What the tests stand on. A test reads `acme.as_owner().get("/api/products").await.is(200)`.

mod domains;
mod pictures;
mod shop;

use std::sync::{Arc, Mutex, PoisonError, Weak};

pub(crate) use domains::{names, publish, serve_with_names};
pub(crate) use pictures::{form_with_picture, jpeg, png};
pub(crate) use shop::{
    Pass, Person, Shop, link_in_mail, log_in, mail_with, opening, session_in, text,
};
pub(crate) use tenantry_trial::{
    A_SECOND, Answer, PASSWORD, Payload, Reply, Setup, exchange, get_with_hosts, on_databases,
    on_files, unique, until,
};

/// The program that is tried.
#[derive(Debug)]
pub(crate) struct Program;

impl tenantry_trial::Program for Program {
    const NAME: &'static str = "shop";
    const PATH: &'static str = env!("CARGO_BIN_EXE_shop");
}

pub(crate) type Client = tenantry_trial::Client<Program>;
pub(crate) type Place = tenantry_trial::Place<Program>;
pub(crate) type Server = tenantry_trial::Server<Program>;

/// A server for all tests that leave others' shops alone. It is started when somebody first asks,
/// and ends when nobody has it any more.
pub(crate) fn shared() -> Arc<Server> {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let server = serve_with_names(&Place::new());
        *shared = Arc::downgrade(&server);
        server
    })
}
