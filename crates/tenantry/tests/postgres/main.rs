//! What PostgreSQL is trusted with: the wall between tenants, and that it stands when things go
//! wrong. Each test makes a deployment of its own on a private server.
#![cfg(test)]

mod alike;
mod alone;
mod attacks;
mod bouncer;
mod cliff;
mod far;
mod lanes;
mod moved;
mod outage;
mod pooler;
mod random;
mod roles;
mod secure;
mod several;
mod support;
mod tls;
mod wire;
