//! Which programs there are to compare with, and what is to be known of each.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::{
    data::Moments,
    driver::{Dialect, Naming},
    stack::Kind,
};

/// A program to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// django-tenants, Django REST framework, gunicorn: a schema for each tenant
    DjangoTenants,
    /// Django REST framework, gunicorn: one table, and a manager that filters by tenant
    DjangoRows,
    /// Fastify, Drizzle, node-postgres: one table behind row-level security
    Fastify,
    /// axum, sqlx: one table, and statements that name the tenant
    Sqlx,
    /// axum, sqlx: one table behind row-level security
    SqlxRls,
    /// axum, SeaORM: one table, and statements that name the tenant
    SeaOrm,
    /// axum, SeaORM: one table behind row-level security
    SeaOrmRls,
    /// axum, diesel, diesel-async: one table, and statements that name the tenant
    Diesel,
    /// axum, diesel, diesel-async: one table behind row-level security
    DieselRls,
    /// rustango, as its template for tenants has it: a schema for each tenant
    Rustango,
    /// rustango, set up for as many tenants as there are
    RustangoTuned,
}

/// A program to compare with where each tenant has a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PeerOnFiles {
    /// axum, sqlx: a pool for each file
    Sqlx,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DjangoTenants => "django-tenants",
            Self::DjangoRows => "django-rows",
            Self::Fastify => "fastify",
            Self::Sqlx => "sqlx",
            Self::SqlxRls => "sqlx-rls",
            Self::SeaOrm => "sea-orm",
            Self::SeaOrmRls => "sea-orm-rls",
            Self::Diesel => "diesel",
            Self::DieselRls => "diesel-rls",
            Self::Rustango => "rustango",
            Self::RustangoTuned => "rustango-tuned",
        }
    }

    /// What it is installed with.
    pub(super) fn package(self) -> Package {
        match self {
            Self::DjangoTenants => Package::DjangoTenants,
            Self::DjangoRows => Package::DjangoRows,
            Self::Fastify => Package::Fastify,
            Self::Sqlx
            | Self::SqlxRls
            | Self::SeaOrm
            | Self::SeaOrmRls
            | Self::Diesel
            | Self::DieselRls => Package::ByHand,
            Self::Rustango | Self::RustangoTuned => Package::Rustango,
        }
    }

    /// What its database has in it.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::DjangoTenants | Self::Rustango | Self::RustangoTuned => Kind::Foreign,
            Self::DjangoRows | Self::Sqlx | Self::SeaOrm | Self::Diesel => Kind::Plain,
            Self::Fastify | Self::SqlxRls | Self::SeaOrmRls | Self::DieselRls => Kind::Policies,
        }
    }

    /// What its database is called, after the benchmark's prefix.
    pub(crate) fn database(self) -> String {
        self.name().replace('-', "_")
    }

    /// How many connections it may open to the database beyond those of `--pool`.
    pub(crate) fn connections_beyond_pool(self, tenants: usize) -> usize {
        match self {
            // its documentation's own sum: two pools of 8 for each of 64 tenants
            Self::Rustango => 2 * 64 * 8,
            // one for each tenant
            Self::RustangoTuned => tenants,
            _ => 0,
        }
    }

    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::DjangoTenants | Self::Rustango | Self::RustangoTuned => Dialect {
                naming: Naming::Subdomain,
                ..Dialect::default()
            },
            Self::Fastify => Dialect {
                moments: Moments::Milliseconds,
                ..Dialect::default()
            },
            _ => Dialect::default(),
        }
    }
}

/// A folder of `peers`, which is installed as one and may serve in several ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Package {
    DjangoTenants,
    DjangoRows,
    Fastify,
    ByHand,
    Rustango,
}

/// What a program runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runtime {
    Python,
    Node,
    /// None: it is built, and runs by itself.
    Rust,
}

impl Package {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::DjangoTenants => "django-tenants",
            Self::DjangoRows => "django-rows",
            Self::Fastify => "fastify",
            Self::ByHand => "by-hand",
            Self::Rustango => "rustango",
        }
    }

    /// What is built of it, where something is.
    pub(super) fn binary(self) -> &'static str {
        match self {
            // the crate's own name is taken
            Self::Rustango => "rustango-products",
            _ => self.name(),
        }
    }

    pub(super) fn runtime(self) -> Runtime {
        match self {
            Self::DjangoTenants | Self::DjangoRows => Runtime::Python,
            Self::Fastify => Runtime::Node,
            Self::ByHand | Self::Rustango => Runtime::Rust,
        }
    }

    pub(super) fn processes_in_words(self, pool: usize) -> String {
        let (processes, each) = self.runtime().processes(pool);
        match (self, self.runtime()) {
            (_, Runtime::Python) => format!("{processes} processes with {each} threads each"),
            (_, Runtime::Node) => format!("{processes} processes with {each} connections each"),
            (Self::Rustango, _) => "one process with connections for each tenant".into(),
            (_, Runtime::Rust) => format!("one process with {each} connections"),
        }
    }

    /// What its environment has, whatever it does.
    pub(super) fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Rustango => &[
                ("RUSTANGO_ENV", "prod"),
                ("RUSTANGO_APEX_DOMAIN", "localhost"),
                // Without them it does not start. Nothing is signed or sealed: nobody signs in.
                (
                    "RUSTANGO_SESSION_SECRET",
                    "bm90aGluZyBpcyBzaWduZWQgaW4gdGhlIGJlbmNobWFyaw==",
                ),
                (
                    "RUSTANGO_SECRET_KEY",
                    "nothing is sealed in the benchmark, and this is long enough",
                ),
            ],
            _ => &[],
        }
    }

    /// Where its source is.
    pub(super) fn source(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("peers")
            .join(self.name())
    }
}

impl Runtime {
    /// How many processes serve, and how many connections to the database each may have: as many as
    /// there are processors, where one does not use more than one of them.
    pub(super) fn processes(self, pool: usize) -> (usize, usize) {
        let processes = match self {
            Self::Python | Self::Node => {
                std::thread::available_parallelism().map_or(1, usize::from)
            }
            Self::Rust => 1,
        };
        (processes, (pool / processes).max(1))
    }
}
