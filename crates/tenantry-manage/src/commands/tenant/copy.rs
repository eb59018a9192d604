use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use tenantry::{
    Tenancy,
    lifecycle::{Exporting, LifecycleError, NewTenant},
    tenant::{Placement, TenantCode},
};

use crate::{Application, Context, Error, context::find, printer};

/// Of which, and as what.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every row as it is at one moment, with its id, people and their passwords too; but no tokens,
sessions, keys or mailed links: nobody is signed in to the clone. Domains stay where they are. The
tenant goes on meanwhile.
Prints the clone's URL. Killed at any point, there is no clone.

Examples:
  {app} tenant clone acme acme-try
  {app} tenant clone acme acme-try --name \"Acme, to try things\"")]
pub(crate) struct CloneArgs {
    /// The tenant
    code: TenantCode,
    /// The clone's code
    new: TenantCode,
    /// The clone's name for people; the tenant's unless told
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Where to.
#[derive(Debug, clap::Args)]
pub(crate) struct PlaceArgs {
    /// The server to place it on, one of --servers
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
}

pub(super) async fn clone<A: Application>(
    args: CloneArgs,
    context: &Context,
    tenancy: &Tenancy,
) -> Result<(), Error> {
    let tenant = find(tenancy, &args.code).await?;
    let name = args.name.unwrap_or_else(|| tenant.name().to_owned());
    let mut new = NewTenant::new(args.new.clone(), name).isolation(
        context
            .settings
            .isolation_told
            .unwrap_or(tenant.isolation()),
    );
    new = new.server(
        args.place
            .server
            .unwrap_or_else(|| tenant.placement().server.clone()),
    );
    let made = tenancy
        .clone_tenant(&tenant, new)
        .await
        .map_err(|error| Error::lifecycle(&args.new, error))?;
    printer::note(format_args!("{} is a clone of {}", args.new, args.code));
    printer::data(context.site::<A>().tenant_url(&made))
}

/// Of which, and where to.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
One file with all rows as they are at one moment, people and their passwords' hashes too, and the
tenant's files (with --anonymise none of them, as nobody can know what those tell); but no tokens,
sessions, keys or mailed links, and no domains. It goes into any deployment of this program, with any isolation, by
`{app} tenant import`. Keep it safe. The file appears when it is whole.

Examples:
  {app} tenant export acme --out acme.archive
  {app} tenant export acme --out try.archive --anonymise
  gzip -dc < acme.archive | head -1 | jq .        what it is of")]
pub(crate) struct ExportArgs {
    /// The tenant
    code: TenantCode,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Put something else in place of everything that tells who somebody is
    #[arg(long)]
    anonymise: bool,
}

pub(super) async fn export(args: &ExportArgs, tenancy: &Tenancy) -> Result<(), Error> {
    let tenant = find(tenancy, &args.code).await?;
    let how = match args.anonymise {
        true => Exporting::anonymised(),
        false => Exporting::default(),
    };
    let exported = tenancy
        .export(&tenant, &args.out, how)
        .await
        .map_err(|error| Error::lifecycle(&args.code, LifecycleError::Archive(error)))?;
    printer::note(format_args!(
        "{}: {} rows of {} tables and {} files of {} are in it",
        args.out.display(),
        exported.rows,
        exported.tables,
        exported.files,
        args.code
    ));
    Ok(())
}

/// From where, and as what.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Makes a new tenant, with an id of its own, kept apart as --isolation says. All checksums are looked
at before anybody sees it. Prints its URL. Killed at any point, there is no tenant.

Examples:
  {app} tenant import acme.archive
  {app} tenant import acme.archive --code acme-before --isolation schema")]
pub(crate) struct ImportArgs {
    /// The archive
    file: PathBuf,
    /// The tenant's code; the archive's unless told
    #[arg(long, value_name = "CODE")]
    code: Option<TenantCode>,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(super) async fn import<A: Application>(
    args: ImportArgs,
    context: &Context,
    tenancy: &Tenancy,
) -> Result<(), Error> {
    let server = args.place.server;
    let placed = move |new: NewTenant| match server {
        Some(server) => new.server(server),
        None => new,
    };
    let made = tenancy.import(&args.file, args.code.clone(), placed).await;
    let tenant = made.map_err(|error| match (error, args.code) {
        (LifecycleError::Archive(error), _) => Error::Archive {
            file: args.file.clone(),
            source: error,
        },
        (error, Some(code)) => Error::lifecycle(&code, error),
        (error, None) => Error::Import {
            file: args.file.clone(),
            source: error.into(),
        },
    })?;
    printer::note(format_args!(
        "{} is made from {}",
        tenant.code(),
        args.file.display()
    ));
    printer::data(context.site::<A>().tenant_url(&tenant))
}

/// Which, and where to.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
With everything it has: its id, its people and what they are signed in with stay. For as long as it
takes it is suspended, and answers 503. Killed at any point, the next command brings it back to
where it was, or ends what was left of the move.

Examples:
  {app} tenant move acme --isolation schema
  {app} tenant move acme --isolation rows --server berlin")]
pub(crate) struct MoveArgs {
    /// The tenant
    code: TenantCode,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(super) async fn relocate(
    args: MoveArgs,
    context: &Context,
    tenancy: &Tenancy,
) -> Result<(), Error> {
    let tenant = find(tenancy, &args.code).await?;
    let here = tenant.placement();
    let to = Placement::new(
        context.settings.isolation_told.unwrap_or(here.isolation),
        args.place.server.unwrap_or_else(|| here.server.clone()),
    );
    if to == *here {
        printer::note(format_args!("{} is there already", args.code));
        return Ok(());
    }
    let isolation = to.isolation;
    let moved = tenancy.move_tenant(&tenant, to).await;
    let moved = moved.map_err(|error| Error::lifecycle(&args.code, error))?;
    printer::note(format_args!(
        "{} is moved: isolation {isolation}, {}",
        args.code,
        tenancy.location(&moved)
    ));
    Ok(())
}
