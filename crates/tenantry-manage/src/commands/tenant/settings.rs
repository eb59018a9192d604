use std::io::{IsTerminal, Read, stdin};

use serde::Serialize;
use serde_json::{Map, Value, json};
use tenantry::{
    Tenancy,
    scoped::settings::{SettingsError, Shown, TenantSettings},
    tenant::TenantCode,
};

use crate::{Error, context::find, printer, table::Table};

/// More than any secret has; what is longer is a wrong file.
const MOST: u64 = 64 * 1024;

/// Whose, and what to do with them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without a command all settings are told, and which of them the tenant has said: the others are as
they are by default. Every process has a change within a second. Secrets are kept sealed, are shown
as (set), and are read from stdin alone, so that they are in no list of processes and no history.

Examples:
  {app} tenant settings acme
  {app} tenant settings acme --json | jq .mail.fields
  {app} tenant settings acme set mail.from_name \"Acme Ltd\"
  pass show smtp | {app} tenant settings acme set mail.smtp_url --stdin
  {app} tenant settings acme reset mail.from_name     as by default again")]
pub(crate) struct Args {
    /// The tenant
    code: TenantCode,
    /// Tell them as JSON
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

/// What can be done with settings.
#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Say what a setting is
    Set(Set),
    /// Take a setting, or a whole group of them, back to what it is by default
    Reset {
        /// The setting, or the group
        #[arg(value_name = "GROUP[.FIELD]")]
        name: String,
    },
}

/// Which, and what.
#[derive(Debug, clap::Args)]
struct Set {
    /// The setting
    #[arg(value_name = "GROUP.FIELD", value_parser = named)]
    name: (String, String),
    /// What it is to be: a text, or JSON where the setting is no text
    #[arg(required_unless_present = "stdin", conflicts_with = "stdin")]
    value: Option<String>,
    /// Read it from stdin; secrets are read so alone
    #[arg(long)]
    stdin: bool,
}

fn named(text: &str) -> Result<(String, String), &'static str> {
    let (group, field) = text.split_once('.').ok_or("must be GROUP.FIELD")?;
    match group.is_empty() || field.is_empty() {
        true => Err("must be GROUP.FIELD"),
        false => Ok((group.into(), field.into())),
    }
}

impl Args {
    pub(super) fn only_looks(&self) -> bool {
        self.action.is_none()
    }
}

#[derive(Serialize)]
struct Group<'a> {
    fields: &'a Map<String, Value>,
    told: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

pub(super) async fn run(args: &Args, tenancy: &Tenancy) -> Result<(), Error> {
    let tenant = find(tenancy, &args.code).await?;
    let settings = tenancy.settings(&tenant);
    let failed = |source| Error::settings(&args.code, source);
    match &args.action {
        None => {
            let groups = settings.shown().await.map_err(failed)?;
            match args.json {
                true => tell_as_json(&groups),
                false => tell(&groups, &args.code),
            }
        }
        Some(Action::Set(set)) => {
            let (group, field) = &set.name;
            say(&settings, group, field, set).await?.map_err(failed)?;
            printer::note(format_args!("{group}.{field} of {} is set", args.code));
            Ok(())
        }
        Some(Action::Reset { name }) => {
            match name.split_once('.') {
                None => settings.reset(name).await.map(drop).map_err(failed)?,
                Some((group, field)) => {
                    let patch = Map::from_iter([(field.to_owned(), Value::Null)]);
                    settings.patch(group, patch).await.map_err(failed)?;
                }
            }
            printer::note(format_args!("{name} of {} is as by default", args.code));
            Ok(())
        }
    }
}

async fn say(
    settings: &TenantSettings,
    group: &str,
    field: &str,
    set: &Set,
) -> Result<Result<(), SettingsError>, Error> {
    let groups = match settings.shown().await {
        Ok(groups) => groups,
        Err(error) => return Ok(Err(error)),
    };
    let known = groups.iter().find(|one| one.name == group);
    let is_secret = known.is_some_and(|one| one.secrets.contains(&field));
    let text = match &set.value {
        Some(_) if is_secret => return Err(Error::SecretOnLine(format!("{group}.{field}"))),
        Some(value) => value.clone(),
        None => from_stdin()?,
    };
    let patch = |value| Map::from_iter([(field.to_owned(), value)]);
    let as_text = settings.patch(group, patch(text.clone().into())).await;
    // a number, a list: what is no text is said as JSON
    let json = serde_json::from_str::<Value>(&text).ok();
    Ok(match (as_text, json) {
        (Err(SettingsError::Invalid(_)), Some(value)) if !is_secret && !value.is_null() => {
            settings.patch(group, patch(value)).await.map(drop)
        }
        (said, _) => said.map(drop),
    })
}

fn from_stdin() -> Result<String, Error> {
    if stdin().is_terminal() {
        return rpassword::prompt_password("Value: ").map_err(Error::Input);
    }
    let mut text = String::new();
    let read = stdin().lock().take(MOST).read_to_string(&mut text);
    read.map_err(Error::Input)?;
    // what `echo` and editors put at the end is not part of it
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

fn tell_as_json(groups: &[Shown]) -> Result<(), Error> {
    let all: Map<String, Value> = groups
        .iter()
        .map(|one| {
            let group = Group {
                fields: &one.fields,
                told: one.told.iter().map(String::as_str).collect(),
                error: one.error.as_deref(),
            };
            (one.name.to_owned(), json!(group))
        })
        .collect();
    printer::json(&all)
}

fn tell(groups: &[Shown], code: &TenantCode) -> Result<(), Error> {
    let mut table = Table::new(["SETTING", "VALUE", "SAID"]);
    for group in groups {
        for (field, value) in &group.fields {
            let is_secret = group.secrets.iter().any(|name| name == field);
            let value = match value {
                Value::Null => String::new(),
                _ if is_secret => "(set)".into(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let said = match group.told.contains(field) {
                true => "here",
                false => "by default",
            };
            table.row([&format!("{}.{field}", group.name), &value, said]);
        }
    }
    printer::table(&table)?;
    for group in groups {
        if let Some(error) = &group.error {
            printer::note(format_args!(
                "{}: {error}; `tenant settings {code} reset {}` takes it back to its defaults",
                group.name, group.name
            ));
        }
    }
    Ok(())
}
