use std::io::{BufRead, IsTerminal, stdin};

use serde_json::{Map, Value};
use tenantry::{
    Tenancy,
    db::{AnyRow, DbError, TenantDb},
    tenant::TenantCode,
};

use crate::{Error, context::find, printer, table::Table};

/// Whose, and what to say.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Statements are said as a request of the tenant says them: only its data is there, and what a request
may not do is refused. Each is done by itself. Without -c they are read from stdin, each up to a
semicolon at the end of a line.

Examples:
  {app} sql --tenant acme -c 'SELECT email, role FROM users'
  {app} sql --tenant acme                         asks, until Ctrl-D
  {app} sql --tenant acme --json < report.sql")]
pub(crate) struct Args {
    /// The tenant
    #[arg(long, value_name = "CODE")]
    tenant: TenantCode,
    /// The statement; may be repeated
    #[arg(short = 'c', long = "command", value_name = "SQL")]
    statements: Vec<String>,
    /// Tell rows as JSON, an array for each statement
    #[arg(long)]
    json: bool,
    /// How many rows to show of each
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
}

pub(super) async fn run(args: &Args, tenancy: &Tenancy) -> Result<(), Error> {
    let tenant = find(tenancy, &args.tenant).await?;
    let failed = |source| Error::Tenant {
        code: args.tenant.clone(),
        source,
    };
    let db = tenancy.db(&tenant).await.map_err(failed)?;
    for statement in &args.statements {
        say(args, &db, statement).await?.map_err(failed)?;
    }
    if !args.statements.is_empty() {
        return Ok(());
    }
    let asks = stdin().is_terminal();
    let mut statement = String::new();
    loop {
        if asks {
            let waits = statement.is_empty();
            printer::ask(if waits {
                format!("{}>", args.tenant)
            } else {
                "  …>".into()
            });
        }
        let mut line = String::new();
        let read = stdin().lock().read_line(&mut line).map_err(Error::Input)?;
        statement.push_str(&line);
        let is_last = read == 0;
        if !is_last && !statement.trim_end().ends_with(';') {
            if statement.trim().is_empty() {
                statement.clear();
            }
            continue;
        }
        if !statement.trim().is_empty() {
            match say(args, &db, &statement).await? {
                // who is asked can say it better
                Err(error) if asks => printer::note(format_args!("error: {error}")),
                said => said.map_err(failed)?,
            }
            statement.clear();
        }
        if is_last {
            if asks {
                printer::note("");
            }
            return Ok(());
        }
    }
}

/// Says one statement and prints its answer. The outer error is that of printing.
async fn say(args: &Args, db: &TenantDb, statement: &str) -> Result<Result<(), DbError>, Error> {
    let statement = statement.trim().trim_end_matches(';');
    let (rows, count) = match db.query(statement).some::<AnyRow>(args.limit).await {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(error)),
    };
    let told = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    if args.json {
        let rows: Vec<Map<String, Value>> = rows
            .into_iter()
            .map(|row| row.columns.into_iter().zip(row.values).collect())
            .collect();
        printer::json(&rows)?;
    } else if let Some(first) = rows.first() {
        let mut table = Table::under(&first.columns);
        for row in &rows {
            let cells: Vec<String> = row.values.iter().map(shown).collect();
            table.row_of(cells.iter().map(String::as_str));
        }
        printer::table(&table)?;
    }
    match count {
        1 => printer::note("1 row"),
        many if (1..many).contains(&told) => {
            printer::note(format_args!("{many} rows, of which {told} are shown"));
        }
        many => printer::note(format_args!("{many} rows")),
    }
    Ok(Ok(()))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
