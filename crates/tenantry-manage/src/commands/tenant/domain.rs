//! `tenant domain`: the hosts that a tenant has of its own.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tenantry::{
    Tenancy,
    domains::Domain,
    tenant::{DomainName, TenantCode},
};

use crate::{Application, Context, Error, context::find, printer, table::Table};

/// What can be done with domains.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
A domain that was added is nobody's until it is verified: whoever has it sets the TXT record that `add`
prints, and `verify` looks whether it is there. Then every server answers there within a second. Where
one is the primary domain it is in the tenant's URLs, and its pages elsewhere are sent there.

Examples:
  {app} tenant domain add acme shop.example.com
  {app} tenant domain verify acme shop.example.com
  {app} tenant domain primary acme shop.example.com")]
pub(crate) enum Command {
    /// Say that a host is the tenant's own, and print the record that shows it
    Add(Changed),
    /// Look whether the record is there, and if so let the host be the tenant's
    Verify(Changed),
    /// Make a verified domain the primary one, or tell which is
    Primary(Primary),
    /// Let go of a domain: it is nobody's at once
    Remove(Changed),
    /// List a tenant's domains, and the record that shows each
    List(Listed),
}

impl Command {
    pub(super) fn only_looks(&self) -> bool {
        matches!(self, Self::List(_))
    }
}

/// Which one.
#[derive(Debug, clap::Args)]
pub(crate) struct Changed {
    /// The tenant
    code: TenantCode,
    /// The host, as shop.example.com
    // another name than that of the setting --host
    #[arg(value_name = "HOST")]
    domain: DomainName,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

/// Which one, if any.
#[derive(Debug, clap::Args)]
pub(crate) struct Primary {
    /// The tenant
    code: TenantCode,
    /// The host that is to be the primary one
    #[arg(value_name = "HOST")]
    domain: Option<DomainName>,
    /// Let none be
    #[arg(long, conflicts_with = "domain")]
    none: bool,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

/// Whose.
#[derive(Debug, clap::Args)]
pub(crate) struct Listed {
    /// The tenant
    code: TenantCode,
    /// List them as JSON
    #[arg(long)]
    json: bool,
}

/// A domain as JSON says it. Scripts depend on the names.
#[derive(Serialize)]
pub(super) struct Shown {
    pub(super) host: DomainName,
    pub(super) verified: bool,
    pub(super) primary: bool,
    created_at: DateTime<Utc>,
    verified_at: Option<DateTime<Utc>>,
    record: Record,
}

/// A TXT record.
#[derive(Serialize)]
struct Record {
    name: String,
    r#type: &'static str,
    value: String,
}

impl From<Domain> for Shown {
    fn from(domain: Domain) -> Self {
        Self {
            host: domain.host,
            verified: domain.verified_at.is_some(),
            primary: domain.is_primary,
            created_at: domain.created_at,
            verified_at: domain.verified_at,
            record: Record {
                name: domain.record.name,
                r#type: "TXT",
                value: domain.record.value,
            },
        }
    }
}

impl Shown {
    pub(super) fn state(&self) -> &'static str {
        match (self.verified, self.primary) {
            (_, true) => "primary",
            (true, false) => "verified",
            (false, false) => "not verified",
        }
    }
}

pub(super) async fn run<A: Application>(
    command: Command,
    context: &Context,
    tenancy: &Tenancy,
) -> Result<(), Error> {
    match command {
        Command::Add(which) => add(&which, tenancy).await,
        Command::Verify(which) => verify(&which, tenancy).await,
        Command::Primary(which) => primary::<A>(&which, context, tenancy).await,
        Command::Remove(which) => remove(&which, tenancy).await,
        Command::List(which) => list(&which, tenancy).await,
    }
}

async fn add(which: &Changed, tenancy: &Tenancy) -> Result<(), Error> {
    let Changed {
        code,
        domain: host,
        json,
    } = which;
    let tenant = find(tenancy, code).await?;
    let claimed = tenancy.domains(&tenant).claim(host).await;
    let shown = Shown::from(claimed.map_err(|error| Error::domain(host, error))?);
    match shown.verified {
        true => printer::note(format_args!("{host} is {code}'s already")),
        false => printer::note(format_args!(
            "whoever has {host} sets this record; then `tenant domain verify {code} {host}`"
        )),
    }
    if *json {
        return printer::json(&shown);
    }
    let Record { name, value, .. } = &shown.record;
    printer::data(format_args!("{name}. TXT \"{value}\""))
}

async fn verify(which: &Changed, tenancy: &Tenancy) -> Result<(), Error> {
    let Changed {
        code,
        domain: host,
        json,
    } = which;
    let tenant = find(tenancy, code).await?;
    let verified = tenancy.domains(&tenant).verify(host).await;
    let shown = Shown::from(verified.map_err(|error| Error::domain(host, error))?);
    printer::note(format_args!("{host} is {code}'s"));
    match json {
        true => printer::json(&shown),
        false => Ok(()),
    }
}

async fn primary<A: Application>(
    which: &Primary,
    context: &Context,
    tenancy: &Tenancy,
) -> Result<(), Error> {
    let code = &which.code;
    let tenant = find(tenancy, code).await?;
    let domains = tenancy.domains(&tenant);
    match &which.domain {
        Some(host) => {
            let set = domains.set_primary(host).await;
            set.map_err(|error| Error::domain(host, error))?;
            printer::note(format_args!("{host} is {code}'s primary domain now"));
        }
        None if which.none => {
            let cleared = domains.clear_primary().await;
            cleared.map_err(|error| Error::domains(code, error))?;
            printer::note(format_args!("{code} has no primary domain now"));
        }
        None => {
            let Some(host) = tenant.primary_domain() else {
                printer::note(format_args!("{code} has no primary domain"));
                return match which.json {
                    true => printer::json(&None::<Shown>),
                    false => Ok(()),
                };
            };
            if !which.json {
                return printer::data(host);
            }
        }
    }
    if which.json {
        let all = domains.list().await.map_err(Error::Catalog)?;
        let primary = all.into_iter().find(|one| one.is_primary);
        return printer::json(&primary.map(Shown::from));
    }
    let tenant = find(tenancy, code).await?;
    printer::data(context.site::<A>().tenant_url(&tenant))
}

async fn remove(which: &Changed, tenancy: &Tenancy) -> Result<(), Error> {
    let Changed {
        code,
        domain: host,
        json,
    } = which;
    let tenant = find(tenancy, code).await?;
    let domains = tenancy.domains(&tenant);
    let failed = |error| Error::domain(host, error);
    let was = Shown::from(domains.get(host).await.map_err(failed)?);
    domains.remove(host).await.map_err(failed)?;
    printer::note(format_args!("{host} is nobody's now"));
    match json {
        true => printer::json(&was),
        false => Ok(()),
    }
}

async fn list(which: &Listed, tenancy: &Tenancy) -> Result<(), Error> {
    let tenant = find(tenancy, &which.code).await?;
    let domains = tenancy.domains(&tenant).list().await;
    let domains = domains.map_err(Error::Catalog)?;
    let shown: Vec<Shown> = domains.into_iter().map(Shown::from).collect();
    if which.json {
        return printer::json(&shown);
    }
    let mut table = Table::new(["HOST", "STATE", "RECORD", "VALUE"]);
    for one in &shown {
        table.row([
            one.host.as_str(),
            one.state(),
            one.record.name.as_str(),
            one.record.value.as_str(),
        ]);
    }
    if table.is_empty() {
        printer::note(format_args!("{} has no domains", which.code));
    }
    printer::table(&table)
}
