use tenantry::Tenancy;

use crate::{Application, Context, Error, printer, settings::Profile};

/// Opens the deployment, unless it is one that people depend on.
pub(super) async fn open<A: Application>(context: &Context) -> Result<Tenancy, Error> {
    match context.settings.profile {
        Profile::Production => Err(Error::DemoInProduction),
        Profile::Development => context.open::<A>().await,
    }
}

pub(super) async fn run<A: Application>(context: &Context, tenancy: &Tenancy) -> Result<(), Error> {
    let tenants = tenancy.tenants().await.map_err(Error::Catalog)?.len();
    if tenants > 0 {
        return Err(Error::NotEmpty(tenants));
    }
    let told = A::demo(tenancy.clone(), context.site::<A>())
        .await
        .map_err(Error::Application)?;
    printer::data(told.trim_end())
}
