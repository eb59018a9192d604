//! Makes tenants as `create-tenant --mode schema` does, without a process for each.

use std::{
    io::{read_to_string, stdin},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rustango::{
    manage::{CommandContext, CommandError},
    sql::Pool,
    tenancy::{
        TenantPools,
        provision::{MigrationsOutcome, ProvisionRequest, TenantStorage, provision_tenant},
    },
};
use tokio::task::JoinSet;

/// How many are made at a time.
const AT_ONCE: usize = 4;

pub async fn make_tenants(context: CommandContext, _: Vec<String>) -> Result<(), CommandError> {
    let Pool::Postgres(registry) = context.pool().clone();
    let pools = Arc::new(TenantPools::new(registry));
    let url = std::env::var("DATABASE_URL")?;
    let codes: Vec<String> = read_to_string(stdin())?
        .lines()
        .map(str::to_owned)
        .collect();
    let left = Arc::new(Mutex::new(codes.into_iter()));
    let mut making = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (pools, url, left) = (pools.clone(), url.clone(), left.clone());
        let next = move || left.lock().unwrap_or_else(PoisonError::into_inner).next();
        making.spawn(async move {
            while let Some(code) = next() {
                make(&pools, &url, &code).await?;
            }
            Ok::<_, CommandError>(())
        });
    }
    while let Some(made) = making.join_next().await {
        made??;
    }
    Ok(())
}

async fn make(pools: &TenantPools, url: &str, code: &str) -> Result<(), CommandError> {
    let request = ProvisionRequest::new(code, TenantStorage::Schema(None));
    let made = provision_tenant(pools, url, Path::new("migrations"), &request, None).await?;
    match made.migrations {
        MigrationsOutcome::Applied(_) => Ok(()),
        other => Err(format!("{code}: {other:?}").into()),
    }
}
