//! `usage`: what tenants have used, for those who run it and for those who write the bills.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, SecondsFormat, Utc};
use clap::ValueEnum;
use serde::Serialize;
use tenantry::{
    Tenancy,
    tenant::TenantId,
    usage::{By, Quantity, Used},
};

use super::size;
use crate::{Error, pattern::Pattern, printer, table::Table};

/// What to tell.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It is written down twice a minute by every process, by the hour, in UTC; of more than 92 days ago there
are only days. Tenants that are deleted or erased stay in it. db_seconds is how long connections were on
loan to a tenant. database_bytes and file_bytes are the most that was seen; where tenants share tables
nobody knows what one has.

In the CSV a name that a spreadsheet would take for a formula has a ' before it.

Examples:
  {app} usage                                             all tenants, this month
  {app} usage --tenant acme --by day
  {app} usage --all --month 2026-10 --csv > october.csv
  {app} usage --all --from 2026-10-01 --to 2026-10-15 --json | jq '.[] | {code, requests}'")]
pub(crate) struct Args {
    /// Only tenants with this code, with * for anything; may be repeated
    #[arg(long = "tenant", value_name = "PATTERN", conflicts_with = "all")]
    patterns: Vec<Pattern>,
    /// All tenants, which is what happens without --tenant, too
    #[arg(long)]
    all: bool,
    /// One month
    #[arg(long, value_name = "YYYY-MM", value_parser = month, conflicts_with_all = ["from", "to"])]
    month: Option<NaiveDate>,
    /// From this day on [default: the first of this month]
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<NaiveDate>,
    /// Up to the end of this day [default: today]
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Option<NaiveDate>,
    /// Tell each hour, day or month by itself
    #[arg(long, value_name = "SPAN")]
    by: Option<Span>,
    /// Tell it as JSON, with everything that is counted
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Tell it as CSV, with everything that is counted
    #[arg(long)]
    csv: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Span {
    Hour,
    Day,
    Month,
}

fn month(text: &str) -> Result<NaiveDate, &'static str> {
    format!("{text}-01")
        .parse()
        .map_err(|_| "must be a month, as 2026-10")
}

/// Somebody who has used something, and may be gone.
struct Who {
    code: String,
    name: String,
    status: &'static str,
}

#[derive(Serialize)]
struct View<'a> {
    code: &'a str,
    name: &'a str,
    status: &'a str,
    #[serde(flatten)]
    used: &'a Used,
}

pub(super) async fn run(args: &Args, tenancy: &Tenancy) -> Result<(), Error> {
    let mut known = everybody(tenancy).await?;
    for pattern in &args.patterns {
        if !known.values().any(|who| is(pattern, who)) {
            return Err(Error::NoMatch(pattern.clone()));
        }
    }
    if !args.patterns.is_empty() {
        known.retain(|_, who| args.patterns.iter().any(|one| is(one, who)));
    }
    let (from, to) = args.between(Utc::now().date_naive());
    let by = match args.by {
        None => By::Whole,
        Some(Span::Hour) => By::Hour,
        Some(Span::Day) => By::Day,
        Some(Span::Month) => By::Month,
    };
    let one = match known.keys().collect::<Vec<_>>().as_slice() {
        [one] => Some(**one),
        _ => None,
    };
    let used = tenancy.usage(one, from..to, by).await;
    let mut used = used.map_err(Error::Catalog)?;
    if args.patterns.is_empty() {
        // also somebody of whom nothing else is known
        for one in &used {
            known.entry(one.tenant).or_insert_with(Who::unknown);
        }
    }
    used.retain(|one| known.contains_key(&one.tenant));
    let name = |one: &Used| {
        let who = &known[&one.tenant];
        (one.begins, who.code.clone(), one.tenant)
    };
    used.sort_by_cached_key(name);
    let views: Vec<View<'_>> = used
        .iter()
        .map(|used| {
            let who = &known[&used.tenant];
            View {
                code: &who.code,
                name: &who.name,
                status: who.status,
                used,
            }
        })
        .collect();
    if args.json {
        return printer::json(&views);
    }
    if args.csv {
        return printer::data(csv_of(&views)?.trim_end());
    }
    let mut table = Table::new([
        "TENANT",
        "FROM",
        "REQUESTS",
        "FAILED",
        "DB TIME",
        "STATEMENTS",
        "ROWS",
        "OUT",
        "JOBS",
        "MAILS",
        "STORED",
    ]);
    for View { code, used, .. } in &views {
        let number = |quantity| used.amounts.get(quantity).to_string();
        table.row([
            code,
            &moment(used.begins, args.by),
            &number(Quantity::Requests),
            &number(Quantity::RequestsFailed),
            &format!("{:.3} s", used.amounts.time(Quantity::DbTime).as_secs_f64()),
            &number(Quantity::Statements),
            &number(Quantity::Rows),
            &size::for_people(used.amounts.get(Quantity::BytesOut)),
            &number(Quantity::JobsDone),
            &number(Quantity::MailsSent),
            &size::for_people(used.database_bytes.saturating_add(used.file_bytes)),
        ]);
    }
    if table.is_empty() {
        printer::note("nothing was used in that time, or it is not written down yet");
    }
    printer::table(&table)
}

impl Args {
    /// From when until when.
    fn between(&self, today: NaiveDate) -> (DateTime<Utc>, DateTime<Utc>) {
        let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
        let after = |day: NaiveDate| day.succ_opt().unwrap_or(NaiveDate::MAX);
        if let Some(first) = self.month {
            let next = first.checked_add_months(Months::new(1));
            return (midnight(first), midnight(next.unwrap_or(NaiveDate::MAX)));
        }
        let to = self.to.unwrap_or(today);
        let from = self.from.unwrap_or(to.with_day(1).unwrap_or(to));
        (midnight(from), midnight(after(to)))
    }
}

impl Who {
    fn unknown() -> Self {
        Self {
            code: String::new(),
            name: String::new(),
            status: "unknown",
        }
    }
}

fn is(pattern: &Pattern, who: &Who) -> bool {
    who.code.parse().is_ok_and(|code| pattern.matches(&code))
}

/// All that are there, or were.
async fn everybody(tenancy: &Tenancy) -> Result<BTreeMap<TenantId, Who>, Error> {
    let mut all = BTreeMap::new();
    for gone in tenancy.certificates().await.map_err(Error::Catalog)? {
        let who = Who {
            code: gone.code,
            name: gone.name,
            status: "erased",
        };
        all.insert(gone.tenant, who);
    }
    for deleted in tenancy.deleted().await.map_err(Error::Catalog)? {
        let who = Who {
            code: deleted.code.to_string(),
            name: deleted.tenant.name().into(),
            status: "deleted",
        };
        all.insert(deleted.tenant.id(), who);
    }
    for tenant in tenancy.tenants().await.map_err(Error::Catalog)? {
        let who = Who {
            code: tenant.code().to_string(),
            name: tenant.name().into(),
            status: tenant.status().as_str(),
        };
        all.insert(tenant.id(), who);
    }
    Ok(all)
}

fn moment(at: DateTime<Utc>, by: Option<Span>) -> String {
    match by {
        Some(Span::Hour) => at.to_rfc3339_opts(SecondsFormat::Secs, true),
        Some(Span::Month) => at.format("%Y-%m").to_string(),
        Some(Span::Day) | None => at.format("%Y-%m-%d").to_string(),
    }
}

fn csv_of(views: &[View<'_>]) -> Result<String, Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let quantities = Quantity::ALL.into_iter();
    let head = ["tenant", "code", "name", "status", "begins"];
    let stored = ["database_bytes", "file_bytes"];
    let names = quantities.clone().map(Quantity::name);
    writer.write_record(head.into_iter().chain(names).chain(stored))?;
    for View {
        code,
        name,
        status,
        used,
    } in views
    {
        let mut row = vec![
            used.tenant.to_string(),
            plain(code),
            plain(name),
            (*status).to_owned(),
            used.begins.to_rfc3339_opts(SecondsFormat::Secs, true),
        ];
        row.extend(quantities.clone().map(|quantity| match quantity.is_time() {
            true => format!("{:.6}", used.amounts.time(quantity).as_secs_f64()),
            false => used.amounts.get(quantity).to_string(),
        }));
        row.extend([used.database_bytes, used.file_bytes].map(|bytes| bytes.to_string()));
        writer.write_record(row)?;
    }
    let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error);
    let bytes = bytes.map_err(Error::Output)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The text as a spreadsheet shows it: what begins like a formula would be one
/// ([OWASP](https://owasp.org/www-community/attacks/CSV_Injection)).
fn plain(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) {
        true => format!("'{text}"),
        false => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Args {
        use clap::{Args as _, FromArgMatches};
        let command = Args::augment_args(clap::Command::new("usage").no_binary_name(true));
        let words = line.split_whitespace();
        let found = command.try_get_matches_from(words).unwrap();
        Args::from_arg_matches(&found).unwrap()
    }

    #[test]
    fn days_are_whole_and_the_month_is_the_default() {
        let today = "2026-02-17".parse().unwrap();
        for (line, from, to) in [
            ("", "2026-02-01", "2026-02-18"),
            ("--month 2025-12", "2025-12-01", "2026-01-01"),
            ("--from 2026-01-05", "2026-01-05", "2026-02-18"),
            ("--to 2026-01-05", "2026-01-01", "2026-01-06"),
            (
                "--from 2026-01-05 --to 2026-01-05",
                "2026-01-05",
                "2026-01-06",
            ),
        ] {
            let (begins, ends) = args(line).between(today);
            assert_eq!(begins.format("%F").to_string(), from, "{line}");
            assert_eq!(ends.format("%F").to_string(), to, "{line}");
        }
    }

    #[test]
    fn what_looks_like_a_formula_is_none() {
        for evil in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"] {
            assert_eq!(plain(evil), format!("'{evil}"));
        }
        for fine in ["Acme", "a=b", "", "'=1"] {
            assert_eq!(plain(fine), fine);
        }
    }
}
