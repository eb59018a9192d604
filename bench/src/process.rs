//! What processes cost, as Linux tells it.

use std::{collections::HashSet, fs, path::Path, time::Duration};

/// Linux counts processor time in hundredths of a second, whatever its own clock does.
const TICK: Duration = Duration::from_millis(10);

fn ticks(count: u64) -> Duration {
    TICK * u32::try_from(count).unwrap_or(u32::MAX)
}

/// A process as `/proc/<pid>/stat` has it.
struct Stat {
    parent: u32,
    /// Processor time of its own.
    own: u64,
    /// Processor time of those of its children that have ended.
    ended: u64,
}

fn stat(process: &Path) -> Option<Stat> {
    parse_stat(&fs::read_to_string(process.join("stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<Stat> {
    // the name before may contain anything, even a parenthesis
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let time = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own: time(11)? + time(12)?,
        ended: time(13)? + time(14)?,
    })
}

fn folder(pid: u32) -> String {
    format!("/proc/{pid}")
}

/// The processor time that a process has used.
pub(crate) fn cpu(pid: u32) -> Duration {
    stat(Path::new(&folder(pid))).map_or(Duration::ZERO, |stat| ticks(stat.own))
}

/// The processor time that a process and all that came from it have used, those that have ended
/// too.
pub(crate) fn cpu_of_tree(pid: u32) -> Duration {
    ticks(
        tree(pid)
            .iter()
            .map(|(_, stat)| stat.own + stat.ended)
            .sum(),
    )
}

/// The memory that a process and all that came from it take, in KiB, of what they share once.
pub(crate) fn memory_of_tree(pid: u32) -> u64 {
    let all = tree(pid);
    all.iter().map(|(pid, _)| memory(*pid).proportional).sum()
}

/// A process and all that came from it.
fn tree(pid: u32) -> Vec<(u32, Stat)> {
    let mut others: Vec<(u32, Stat)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, stat(&entry.path())?))
        })
        .collect();
    let mut found: Vec<(u32, Stat)> = others.extract_if(.., |(one, _)| *one == pid).collect();
    let mut next = 0;
    while let Some(&(parent, _)) = found.get(next) {
        found.extend(others.extract_if(.., |(_, stat)| stat.parent == parent));
        next += 1;
    }
    found
}

/// The processor time that the whole machine has used and been refused.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Machine {
    pub(crate) busy: Duration,
    /// Taken by the hypervisor.
    pub(crate) stolen: Duration,
}

pub(crate) fn machine() -> Machine {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let times: Vec<u64> = text
        .lines()
        .next()
        .into_iter()
        .flat_map(|line| line.split_ascii_whitespace().skip(1))
        .filter_map(|time| time.parse().ok())
        .collect();
    // user, nice, system, idle, waiting, interrupts, soft interrupts, stolen
    match *times {
        [user, nice, system, _, _, hard, soft, stolen, ..] => Machine {
            busy: ticks(user + nice + system + hard + soft),
            stolen: ticks(stolen),
        },
        _ => Machine::default(),
    }
}

/// Memory of a process, in KiB.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// What it has mapped of memory, shared or not.
    pub(crate) resident: u64,
    /// The same, with what is shared divided by those that share it.
    pub(crate) proportional: u64,
    /// What is its own: caches, plans.
    pub(crate) own: u64,
}

pub(crate) fn memory(pid: u32) -> Memory {
    let folder = folder(pid);
    let status = fs::read_to_string(format!("{folder}/status")).unwrap_or_default();
    let rollup = fs::read_to_string(format!("{folder}/smaps_rollup")).unwrap_or_default();
    Memory {
        resident: field(&status, "VmRSS:"),
        proportional: field(&rollup, "Pss:"),
        own: field(&status, "RssAnon:"),
    }
}

/// How many files below a folder a process has open, of those whose names end so; each once.
pub(crate) fn open_files(pid: u32, below: &Path, extension: &str) -> usize {
    let below = below.canonicalize().unwrap_or_else(|_| below.to_owned());
    let descriptors = fs::read_dir(format!("{}/fd", folder(pid)));
    let targets = descriptors
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok());
    let wanted = targets.filter(|path| {
        path.starts_with(&below) && path.extension().is_some_and(|found| found == extension)
    });
    wanted.collect::<HashSet<_>>().len()
}

fn field(text: &str, name: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter_map(|rest| rest.split_ascii_whitespace().next()?.parse().ok())
        .next()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::{
        process::{Command, Stdio},
        time::Instant,
    };

    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_times() {
        let text = "7 (a) b) S 3 7 7 0 -1 4194560 1 2 3 4 10 20 300 400 20 0 1";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.parent, stat.own, stat.ended), (3, 30, 700));
    }

    #[test]
    fn what_a_childs_child_uses_counts() {
        // the inner shell counts, then waits for the end of its input; the outer one waits for it
        let count = "i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done; read -r line";
        let mut shell = Command::new("sh")
            .args(["-c", &format!("({count}); exit")])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while cpu_of_tree(shell.id()) < TICK * 3 && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(TICK);
        }
        let memory = (memory_of_tree(shell.id()), memory(shell.id()).proportional);
        let (tree, own) = (cpu_of_tree(shell.id()), cpu(shell.id()));
        drop(shell.stdin.take());
        shell.wait().unwrap();
        assert!(tree >= TICK * 3, "{tree:?}");
        assert!(own < tree, "{own:?} of {tree:?}");
        assert!(memory.0 > memory.1, "{memory:?}");
    }

    #[test]
    fn a_file_counts_once_however_often_it_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str| fs::File::create(folder.path().join(name)).unwrap();
        let count = || open_files(std::process::id(), folder.path(), "db");
        assert_eq!(count(), 0);
        let files = ["a.db", "a.db", "b.db", "b.db-wal"].map(open);
        assert_eq!(count(), 2);
        drop(files);
        assert_eq!(count(), 0);
    }

    #[test]
    fn this_process_is_measured() {
        let memory = memory(std::process::id());
        assert!(
            memory.own > 0 && memory.resident >= memory.own,
            "{memory:?}"
        );
        assert!(machine().busy >= cpu(std::process::id()));
    }
}
