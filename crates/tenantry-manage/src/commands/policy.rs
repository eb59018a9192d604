//! `policy`: who may do what.

use std::{fs, path::PathBuf};

use serde::Serialize;
use tenantry::{
    Tenancy,
    db::DbError,
    policy::{Explained, Explanation, Policies, Principal},
    users::Users,
};
use uuid::Uuid;

use crate::{
    Application, Context, Error, People,
    commands::user::{Of, member},
    context, printer,
    table::Table,
};

/// What can be asked of policies.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Validate the application's policies, and files as a tenant's own on top of them
    #[command(after_help = "\
A tenant's own policies may only forbid. What is wrong is told file by file, and is exit code 4.

Examples:
  {app} policy check
  {app} policy check acme.cedar")]
    Check(Check),
    /// List the policies, and what they are about
    #[command(after_help = "\
Examples:
  {app} policy list
  {app} policy list --json | jq -r '.policies[] | select(.permits | not) | .text'")]
    List(List),
    /// Tell why somebody may do something in a tenant, or may not, and which policy decides
    #[command(after_help = "\
Exit code 0 means that they may, 4 that they may not.

Examples:
  {app} policy explain --tenant acme --as ann@example.com ACTION
  {app} policy explain --tenant acme --as ann@example.com ACTION TYPE ID
  {app} policy list                                        which actions and types there are")]
    Explain(Explain),
}

/// What else is checked.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// Policies that a tenant would have of its own
    files: Vec<PathBuf>,
}

/// How they are listed.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// As JSON, with their texts
    #[arg(long)]
    json: bool,
}

/// Who, and what.
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    of: Of,
    /// Address of whoever would do it; without it, somebody who is not signed in
    #[arg(long = "as", value_name = "EMAIL")]
    who: Option<String>,
    /// What they would do
    action: String,
    /// The type of what they would do it to; without it, the tenant itself
    #[arg(value_name = "TYPE", requires = "id")]
    of_type: Option<String>,
    /// Which one of that type
    #[arg(value_name = "ID")]
    id: Option<Uuid>,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run<A: Application>(command: Command, context: &Context) -> Result<(), Error> {
    let policies = context::policies::<A>()?.ok_or(Error::NoPolicies)?;
    match command {
        Command::Check(args) => check(&args, &policies),
        Command::List(args) => list(&args, &policies),
        Command::Explain(args) => {
            let tenancy = context.open::<A>().await?;
            let done = explain::<A>(&args, &policies, &tenancy).await;
            tenancy.close();
            done
        }
    }
}

fn check(args: &Check, policies: &Policies) -> Result<(), Error> {
    let count = policies.names().len();
    printer::data(format_args!("ok       the application's {count} policies"))?;
    let mut problems = 0;
    for path in &args.files {
        let source = fs::read_to_string(path).map_err(|source| Error::PolicyFile {
            path: path.clone(),
            source,
        })?;
        match policies.check_own(&source) {
            Ok(()) => printer::data(format_args!("ok       {}", path.display()))?,
            Err(error) => {
                problems += 1;
                printer::data(format_args!("PROBLEM  {}: {error}", path.display()))?;
            }
        }
    }
    match problems {
        0 => Ok(()),
        some => Err(Error::Problems(some)),
    }
}

#[derive(Serialize)]
struct Listed {
    policies: Vec<PolicyView>,
    actions: Vec<String>,
    types: Vec<&'static str>,
}

#[derive(Serialize)]
struct PolicyView {
    name: String,
    permits: bool,
    text: String,
}

fn list(args: &List, policies: &Policies) -> Result<(), Error> {
    let view = |name: String| PolicyView {
        permits: policies.permits(&name).unwrap_or_default(),
        text: policies.text(&name).unwrap_or_default(),
        name,
    };
    let listed = Listed {
        policies: policies.names().into_iter().map(view).collect(),
        actions: policies.actions(),
        types: policies.types(),
    };
    if args.json {
        return printer::json(&listed);
    }
    let mut table = Table::new(["POLICY", "EFFECT"]);
    for policy in &listed.policies {
        let effect = if policy.permits { "permits" } else { "forbids" };
        table.row([&policy.name, effect]);
    }
    printer::table(&table)?;
    printer::note(format_args!("\nactions: {}", listed.actions.join(", ")));
    printer::note(format_args!("types: {}", listed.types.join(", ")));
    Ok(())
}

async fn principal<A: Application>(args: &Explain, tenancy: &Tenancy) -> Result<Principal, Error> {
    let Some(email) = &args.who else {
        return Ok(Principal::Anonymous);
    };
    if A::PEOPLE == People::Outside {
        let (account, membership) = member(&args.of, email, tenancy).await?;
        return Ok(Principal::from((&account, &membership)));
    }
    let mut db = args.of.open(tenancy).await?;
    let user = Users::on(&mut db).by_email(email).await;
    let user = user.map_err(|error| match error {
        DbError::NotFound => Error::NoUser {
            tenant: args.of.code().clone(),
            email: email.clone(),
        },
        other => args.of.failed(other),
    })?;
    Ok(Principal::from(&user))
}

#[derive(Serialize)]
struct Told<'a> {
    allowed: bool,
    decided_by: &'a [String],
    errors: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden_by: Option<&'static str>,
}

async fn explain<A: Application>(
    args: &Explain,
    policies: &Policies,
    tenancy: &Tenancy,
) -> Result<(), Error> {
    let tenant = args.of.tenant(tenancy).await?;
    let principal = principal::<A>(args, tenancy).await?;
    let permissions = tenancy.permissions(&tenant, principal, false).await;
    let permissions = permissions.map_err(|source| args.of.failed(source))?;
    let db = args.of.open(tenancy).await?;
    let object = args.of_type.as_deref().zip(args.id);
    let explained = policies.explain(&db, &permissions, &args.action, object);
    let explained = explained.await?;
    tell(args, &explained)?;
    if explained.is_allowed() {
        Ok(())
    } else {
        Err(Error::NotPermitted)
    }
}

fn tell(args: &Explain, explained: &Explained) -> Result<(), Error> {
    let explanation = &explained.explanation;
    if args.json {
        return printer::json(&Told {
            allowed: explained.is_allowed(),
            decided_by: &explanation.decided_by,
            errors: &explanation.errors,
            hidden_by: explained.hidden_by.as_ref().map(|(action, _)| *action),
        });
    }
    printer::data(sentence(&args.action, explanation))?;
    if let Some((action, why)) = &explained.hidden_by {
        printer::data("and they may not look at it, so they are told that there is nothing:")?;
        printer::data(sentence(action, why))?;
    }
    Ok(())
}

fn sentence(action: &str, explanation: &Explanation) -> String {
    let verdict = if explanation.allowed {
        "permitted"
    } else {
        "refused"
    };
    let because = match (
        explanation.decided_by.as_slice(),
        explanation.errors.as_slice(),
    ) {
        ([], []) => "no policy permits it".to_owned(),
        (_, [_, ..]) => format!("a policy failed: {}", explanation.errors.join("; ")),
        (names, []) => {
            let names: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
            format!("by {}", names.join(", "))
        }
    };
    format!("{action}: {verdict}, {because}")
}
