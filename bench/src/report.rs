//! What is printed: numbers as Markdown on the standard output, progress on the other.

use std::{
    fmt::{Arguments, Write as _},
    fs,
    io::{Write, stderr, stdout},
    path::{Path, PathBuf},
    process::Command,
};

use clap::ValueEnum;

use crate::{
    Error, Plan,
    compare::{Contender, Window},
    plot::{self, Bar, Chart},
    process::Memory,
    workload::{Choice, Road},
};

pub(crate) fn print(text: Arguments<'_>) {
    let mut out = stdout().lock();
    // whoever does not listen any more need not be told
    drop(out.write_fmt(text).and_then(|()| out.flush()));
}

/// Tells whoever waits.
pub(crate) fn say(text: Arguments<'_>) {
    drop(writeln!(stderr(), "{text}"));
}

/// What is printed as it comes, and kept in the files that were asked for.
pub(crate) struct Report {
    output: Option<PathBuf>,
    plot: Option<PathBuf>,
    text: String,
    facts: String,
    charts: Vec<Chart>,
}

impl Report {
    /// # Errors
    ///
    /// If a file cannot be written, which is better known before hours of measuring.
    pub(crate) fn new(plan: &Plan) -> Result<Self, Error> {
        Self::of(plan.output.as_deref(), plan.plot.as_deref())
    }

    /// One that is kept in that file, if any was asked for.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn into_file(output: Option<&Path>) -> Result<Self, Error> {
        Self::of(output, None)
    }

    fn of(output: Option<&Path>, plot: Option<&Path>) -> Result<Self, Error> {
        for path in output.iter().chain(&plot) {
            let mut file = fs::OpenOptions::new();
            file.create(true)
                .append(true)
                .open(path)
                .map_err(|source| Error::write(path, source))?;
        }
        Ok(Self {
            output: output.map(Into::into),
            plot: plot.map(Into::into),
            text: String::new(),
            facts: String::new(),
            charts: Vec::new(),
        })
    }

    /// Adds on what it is measured.
    pub(crate) fn facts(&mut self, text: &str) -> Result<(), Error> {
        self.facts.push_str(text);
        self.add(text)
    }

    /// Adds the ways beside each other, as a table and as a chart.
    pub(crate) fn comparison(
        &mut self,
        title: &str,
        contenders: &[Contender],
    ) -> Result<(), Error> {
        self.add(&comparison(title, contenders))?;
        self.charts.push(chart(title, contenders));
        match &self.plot {
            Some(path) => fs::write(path, plot::svg(&self.charts, &self.facts))
                .map_err(|source| Error::write(path, source)),
            None => Ok(()),
        }
    }

    /// Prints it, and writes the file anew with all that there is by now.
    pub(crate) fn add(&mut self, text: &str) -> Result<(), Error> {
        print(format_args!("{text}"));
        self.text.push_str(text);
        match &self.output {
            Some(path) => fs::write(path, &self.text).map_err(|source| Error::write(path, source)),
            None => Ok(()),
        }
    }
}

/// Of what machine the numbers are, and of what build.
pub(crate) fn machine() -> String {
    format!("{}\n- {}", processors(), build())
}

fn processors() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line
            .and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim());
        value.unwrap_or("unknown").to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "- {cores} cores ({}), {} of memory, Linux {}",
        field(&read("/proc/cpuinfo"), "model name"),
        field(&read("/proc/meminfo"), "MemTotal"),
        read("/proc/sys/kernel/osrelease").trim(),
    )
}

fn build() -> String {
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc.map_or_else(
        |_| String::new(),
        |out| String::from_utf8_lossy(&out.stdout).into(),
    );
    let build = if cfg!(debug_assertions) {
        "a debug build, whose figures mean nothing"
    } else {
        "release build"
    };
    format!("{}; {build}", rustc.trim())
}

/// What is measured on what, and how.
pub(crate) fn facts(plan: &Plan, database: &str, keeps: &str, set: &[String]) -> String {
    let settings: String = set
        .iter()
        .map(|setting| format!("- `{setting}`\n"))
        .collect();
    let asked = match (plan.road, plan.choice) {
        (Road::List, Choice::Uniform) => String::new(),
        (road, choice) => format!("- Asked: {}, {}\n", name(road), name(choice)),
    };
    format!(
        "{}\n- {database}; {}\n\
         - {} rounds of {} s in turn, after visits to all that are asked for; {} connections ask, {keeps}\n{asked}{}",
        processors(),
        build(),
        plan.rounds,
        plan.seconds,
        plan.connections,
        settings,
    )
}

fn name(value: impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().into())
}

/// The ways beside each other, the first being what the others are held against.
fn comparison(title: &str, contenders: &[Contender]) -> String {
    let Some(limit) = contenders.first() else {
        return String::new();
    };
    let on_server = uses_postgres(contenders);
    let cells = contenders.iter().map(|contender| {
        let ratios = pairs(contender, limit, |window, limit| {
            window.per_second() / limit.per_second()
        });
        let cpu = pairs(contender, limit, |window, limit| both(window) / both(limit));
        let (least, most) = range(&ratios);
        let (rate, ratio) = (of(contender, Window::per_second), median(&ratios));
        let percentile = |percent| {
            let percentile = |window: &Window| window.answers.percentile(percent);
            of(contender, |window| percentile(window).as_secs_f64() * 1e3)
        };
        let to_limit = match on_server {
            true => "CPU of both, to limit",
            false => "CPU, to limit",
        };
        vec![
            Some(("", contender.name.clone())),
            Some(("requests/s", format!("{rate:.0}"))),
            Some((
                "of limit (least–most)",
                format!("{ratio:.2} ({least:.2}–{most:.2})"),
            )),
            Some(("CPU of server, µs", format!("{:.0}", of(contender, server)))),
            on_server.then(|| (OF_POSTGRES, format!("{:.0}", of(contender, postgres)))),
            Some((to_limit, format!("{:.2}", median(&cpu)))),
            Some((
                "memory of server, MiB",
                format!("{:.0}", of(contender, mib)),
            )),
            Some(("p50, ms", format!("{:.2}", percentile(50)))),
            Some(("p99, ms", format!("{:.2}", percentile(99)))),
        ]
    });
    let mut text = format!("\n**{title}**\n\n{}", table(cells));
    let asking = of(limit, |window| window.each(window.driver));
    let _ = writeln!(
        text,
        "\nThe driver took {asking:.0} µs a request. {}",
        quiet(contenders)
    );
    text
}

fn uses_postgres(contenders: &[Contender]) -> bool {
    let mut windows = contenders.iter().flat_map(|contender| &contender.windows);
    windows.any(|window| !window.postgres.is_zero())
}

/// What stands in a line of a table, each with the name of its column; and nothing where there is no
/// such column.
type Line<'n> = Vec<Option<(&'n str, String)>>;

/// A table, of which the first column is text and the others are numbers.
fn table<'n>(lines: impl Iterator<Item = Line<'n>>) -> String {
    let mut text = String::new();
    for line in lines {
        let (names, cells): (Vec<&str>, Vec<String>) = line.into_iter().flatten().unzip();
        if text.is_empty() {
            let below = "--:|".repeat(names.len().saturating_sub(1));
            let _ = writeln!(text, "| {} |\n|---|{below}", names.join(" | "));
        }
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

const OF_POSTGRES: &str = "CPU of PostgreSQL, µs";

fn server(window: &Window) -> f64 {
    window.each(window.server)
}

fn postgres(window: &Window) -> f64 {
    window.each(window.postgres)
}

fn mib(window: &Window) -> f64 {
    window.memory as f64 / 1024.0
}

fn chart(title: &str, contenders: &[Contender]) -> Chart {
    let bar = |contender: &Contender| {
        let rates: Vec<f64> = contender.windows.iter().map(Window::per_second).collect();
        Bar {
            name: contender.name.clone(),
            rate: median(&rates),
            range: range(&rates),
            server: of(contender, server),
            postgres: of(contender, postgres),
        }
    };
    Chart {
        title: title.into(),
        bars: contenders.iter().map(bar).collect(),
    }
}

/// How much else the machine did.
fn quiet(contenders: &[Contender]) -> String {
    let others: Vec<f64> = contenders
        .iter()
        .flat_map(|contender| contender.windows.iter().map(Window::disturbance))
        .collect();
    let (_, most) = range(&others);
    format!(
        "Others used {:.2} processors meanwhile in the median window, {most:.2} in the worst.",
        median(&others)
    )
}

/// The same ways among ever more tenants, each held against itself among the fewest. The backends'
/// memory is in the order of the contenders, where there are any.
pub(crate) fn growth(contenders: &[Contender], backends: &[Vec<Memory>]) -> String {
    let on_server = uses_postgres(contenders);
    let fewest = contenders.first().map_or(0, Contender::tenants);
    let to_fewest = format!("CPU, to {fewest} tenants (least–most)");
    let cells = contenders.iter().enumerate().map(|(number, contender)| {
        let mut same = contenders.iter().filter(|one| one.name == contender.name);
        let cpu = same.next().map_or_else(Vec::new, |least| {
            pairs(contender, least, |window, least| both(window) / both(least))
        });
        let (least, most) = range(&cpu);
        let backends: &[Memory] = backends.get(number).map_or(&[], Vec::as_slice);
        let kib = |of: fn(&Memory) -> u64| backends.iter().map(of);
        let most_own = kib(|memory| memory.own).max().unwrap_or(0) as f64 / 1024.0;
        let mean = |of| kib(of).sum::<u64>() as f64 / backends.len().max(1) as f64 / 1024.0;
        let rate = of(contender, Window::per_second);
        vec![
            Some(("", contender.name.clone())),
            Some(("tenants", contender.tenants().to_string())),
            Some(("requests/s", format!("{rate:.0}"))),
            Some(("CPU of server, µs", format!("{:.0}", of(contender, server)))),
            on_server.then(|| (OF_POSTGRES, format!("{:.0}", of(contender, postgres)))),
            Some((
                to_fewest.as_str(),
                format!("{:.2} ({least:.2}–{most:.2})", median(&cpu)),
            )),
            Some((
                "memory of server, MiB",
                format!("{:.0}", of(contender, mib)),
            )),
            on_server.then(|| {
                let own = mean(|memory| memory.own);
                (
                    "a backend's own memory, MiB (most)",
                    format!("{own:.1} ({most_own:.1})"),
                )
            }),
            on_server.then(|| {
                let proportional = mean(|memory| memory.proportional);
                ("its proportional, MiB", format!("{proportional:.1}"))
            }),
            on_server.then(|| {
                let resident = mean(|memory| memory.resident);
                ("its resident, MiB", format!("{resident:.1}"))
            }),
        ]
    });
    format!("\n{}\n{}\n", table(cells), quiet(contenders))
}

fn both(window: &Window) -> f64 {
    window.each(window.server + window.postgres)
}

/// Each window beside the limit's of the same round.
fn pairs(
    contender: &Contender,
    limit: &Contender,
    of: impl Fn(&Window, &Window) -> f64,
) -> Vec<f64> {
    let pairs = contender.windows.iter().zip(&limit.windows);
    pairs.map(|(window, limit)| of(window, limit)).collect()
}

/// The median over the rounds.
fn of(contender: &Contender, what: impl Fn(&Window) -> f64) -> f64 {
    median(&contender.windows.iter().map(what).collect::<Vec<_>>())
}

pub(crate) fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.get(middle) {
        None => f64::NAN,
        Some(upper) if sorted.len() % 2 == 1 => *upper,
        Some(upper) => f64::midpoint(sorted[middle - 1], *upper),
    }
}

pub(crate) fn range(numbers: &[f64]) -> (f64, f64) {
    let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (least, most)
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(&[]).is_nan());
    }
}
