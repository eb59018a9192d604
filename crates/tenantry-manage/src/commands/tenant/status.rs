use tenantry::{Tenancy, tenant::TenantCode};

use crate::{Error, context::find, printer};

pub(super) async fn suspend(code: &TenantCode, tenancy: &Tenancy) -> Result<(), Error> {
    let tenant = find(tenancy, code).await?;
    tenancy
        .suspend(&tenant)
        .await
        .map_err(|error| Error::lifecycle(code, error))?;
    printer::note(format_args!("{code} is suspended"));
    Ok(())
}

pub(super) async fn resume(code: &TenantCode, tenancy: &Tenancy) -> Result<(), Error> {
    let tenant = find(tenancy, code).await?;
    tenancy
        .resume(&tenant)
        .await
        .map_err(|error| Error::lifecycle(code, error))?;
    printer::note(format_args!("{code} is active"));
    Ok(())
}
