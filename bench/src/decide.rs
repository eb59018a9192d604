//! What a policy's decision costs: that of the example shop's policies, about one of its products.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use clap::Args;
use tenantry::{
    Config, Tenancy,
    lifecycle::NewTenant,
    policy::{Permissions, Principal},
};
use uuid::Uuid;

use crate::{
    Error,
    policies::{Product, policies, product},
    report::print,
};

/// How often it is decided.
#[derive(Args)]
pub(crate) struct Plan {
    /// How often each is measured
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// How many decisions there are in a round
    #[arg(long, default_value_t = 2000)]
    decisions: u32,
}

pub(crate) async fn run(plan: Plan) -> Result<(), Error> {
    let folder = tempfile::tempdir().map_err(Error::io("making a folder"))?;
    let tenancy = Tenancy::set_up(Config::new(folder.path()).policies(policies()?)).await?;
    let code = "acme".parse().map_err(|_| Error::Ended("a code".into()))?;
    let tenant = tenancy.create(NewTenant::new(code, "Acme")).await?;
    let id = Uuid::now_v7();
    let asks = async || {
        let principal = Principal::User {
            id,
            email: "staff@example.com".into(),
            roles: vec!["staff".into()],
        };
        tenancy.permissions(&tenant, principal, false).await
    };
    let product = product(id);
    let decide = |permissions: &Permissions| {
        assert!(permissions.allows("updateProduct", black_box(&product)));
    };
    let (mut first, mut further, mut lists) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        // whoever tells it to stop is heard here
        tokio::task::yield_now().await;
        let began = Instant::now();
        for _ in 0..plan.decisions {
            decide(&asks().await?);
        }
        first.push(began.elapsed() / plan.decisions);
        let permissions = asks().await?;
        let began = Instant::now();
        for _ in 0..plan.decisions {
            decide(&permissions);
        }
        further.push(began.elapsed() / plan.decisions);
        let began = Instant::now();
        for _ in 0..plan.decisions {
            black_box(permissions.filter::<Product>(&()).is_ok());
        }
        lists.push(began.elapsed() / plan.decisions);
    }
    print(format_args!(
        "| | median | least | most |\n|---|--:|--:|--:|\n"
    ));
    for (name, mut times) in [
        (
            "a request's first decision, with who asks made known",
            first,
        ),
        ("each further decision", further),
        ("the condition of a list", lists),
    ] {
        times.sort_unstable();
        let micros = |at: usize| {
            times
                .get(at)
                .map_or(0.0, |time: &Duration| time.as_secs_f64() * 1e6)
        };
        print(format_args!(
            "| {name} | {:.1} µs | {:.1} µs | {:.1} µs |\n",
            micros(times.len() / 2),
            micros(0),
            micros(times.len().saturating_sub(1)),
        ));
    }
    Ok(())
}
