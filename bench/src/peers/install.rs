//! Installs a peer under `target/peers`: its source anew each time, its packages when what they are
//! locked to has changed. Nothing is installed anywhere else.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use super::{Installed, Peer, Runtime};
use crate::{Error, report::say};

/// The file that tells what is installed: what it runs on, and what it was locked to.
const MARK: &str = "installed";

impl Runtime {
    fn program(self) -> &'static str {
        match self {
            Self::Python => "python3",
            Self::Node => "node",
        }
    }

    /// The file that has every package with its hash.
    fn lock(self) -> &'static str {
        match self {
            Self::Python => "requirements.txt",
            Self::Node => "package-lock.json",
        }
    }

    /// What to do where it is not there.
    fn hint(self) -> &'static str {
        match self {
            Self::Python => "install Python 3.10 or later with its venv (Debian: python3-venv)",
            Self::Node => "install Node.js 20 or later with npm",
        }
    }
}

pub(super) async fn install(peer: Peer) -> Result<Installed, Error> {
    let runtime = peer.runtime();
    let version = run(peer, Path::new("."), runtime.program(), &["--version"]).await?;
    let source = peer.source();
    let folder = target()?.join("peers").join(peer.name());
    let doing = Error::io("copying a peer's source");
    let app = folder.join("app");
    remove(&app).map_err(&doing)?;
    copy(&source, &app).map_err(&doing)?;

    let locked = fs::read_to_string(source.join(runtime.lock())).map_err(&doing)?;
    let installed = format!("{version}\n{locked}");
    let mark = folder.join(MARK);
    if fs::read_to_string(&mark).ok().as_ref() != Some(&installed) {
        say(format_args!("installing {}", peer.name()));
        remove(&mark).map_err(&doing)?;
        match runtime {
            Runtime::Python => {
                remove(&folder.join("venv")).map_err(&doing)?;
                run(peer, &folder, "python3", &["-m", "venv", "venv"]).await?;
                let requirements = ["--require-hashes", "-r", "app/requirements.txt"];
                let words = [&["-m", "pip", "install", "--quiet"], &requirements[..]].concat();
                run(peer, &folder, "venv/bin/python", &words).await?;
            }
            Runtime::Node => {
                for name in ["package.json", "package-lock.json"] {
                    fs::copy(app.join(name), folder.join(name)).map_err(&doing)?;
                }
                // none of them has to run anything to be installed
                let words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
                run(peer, &folder, "npm", &words).await?;
            }
        }
        fs::write(&mark, &installed).map_err(&doing)?;
    }
    let pins = pins(peer)?;
    let pins: Vec<String> = pins
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let name = match runtime {
        Runtime::Python => version,
        Runtime::Node => format!("Node.js {version}"),
    };
    Ok(Installed {
        peer,
        folder,
        made_of: format!("{name}, {}", pins.join(", ")),
    })
}

/// What the peer names of packages, each with its version.
pub(super) fn pins(peer: Peer) -> Result<Vec<(String, String)>, Error> {
    let read = |name: &str| {
        let path = peer.source().join(name);
        fs::read_to_string(path).map_err(Error::io("reading what a peer needs"))
    };
    match peer.runtime() {
        Runtime::Python => Ok(read("requirements.in")?
            .lines()
            .filter_map(|line| line.split_once("=="))
            .map(|(name, version)| {
                let name = name.split('[').next().unwrap_or(name);
                (name.to_owned(), version.to_owned())
            })
            .collect()),
        Runtime::Node => {
            let package: serde_json::Value = serde_json::from_str(&read("package.json")?)
                .map_err(|error| Error::io("reading what a peer needs")(error.into()))?;
            let needed = package["dependencies"].as_object();
            Ok(needed
                .into_iter()
                .flatten()
                .map(|(name, version)| (name.clone(), version.as_str().unwrap_or("").to_owned()))
                .collect())
        }
    }
}

/// The folder of all that is built: the program is in one of its own in there.
fn target() -> Result<PathBuf, Error> {
    let program = std::env::current_exe().map_err(Error::io("looking for this program"))?;
    let target = program.parent().and_then(Path::parent);
    Ok(target.unwrap_or(Path::new("target")).to_owned())
}

/// Runs a program in a folder, and gives what it said.
async fn run(peer: Peer, folder: &Path, program: &str, words: &[&str]) -> Result<String, Error> {
    // one of the folder's own is not looked for where this program runs
    let path = if program.contains('/') {
        folder.join(program)
    } else {
        program.into()
    };
    let ran = Command::new(path)
        .args(words)
        .current_dir(folder)
        .process_group(0)
        .kill_on_drop(true)
        .output()
        .await;
    let out = ran.map_err(|source| Error::Missing {
        peer: peer.name(),
        program: program.into(),
        source,
        hint: peer.runtime().hint(),
    })?;
    if !out.status.success() {
        let said = [out.stdout, out.stderr].concat();
        return Err(Error::Install {
            peer: peer.name(),
            command: format!("{program} {}", words.join(" ")),
            said: String::from_utf8_lossy(&said).trim().into(),
        });
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim().into())
}

/// Removes a file or a folder, if it is there.
fn remove(path: &Path) -> std::io::Result<()> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
