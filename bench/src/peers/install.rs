//! Installs a peer under `target/peers`: its source anew each time, its packages when what they are
//! locked to has changed; or builds it there. Nothing is installed anywhere else.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use super::{Package, Program, Runtime};
use crate::{Error, report::say};

/// The file that tells what is installed: what it runs on, and what it was locked to.
const MARK: &str = "installed";

impl Runtime {
    fn program(self) -> &'static str {
        match self {
            Self::Python => "python3",
            Self::Node => "node",
            Self::Rust => "rustc",
        }
    }

    /// The file that has every package with its hash.
    pub(super) fn lock(self) -> &'static str {
        match self {
            Self::Python => "requirements.txt",
            Self::Node => "package-lock.json",
            Self::Rust => "Cargo.lock",
        }
    }

    /// What to do where it is not there.
    fn hint(self) -> &'static str {
        match self {
            Self::Python => "install Python 3.10 or later with its venv (Debian: python3-venv)",
            Self::Node => "install Node.js 20 or later with npm",
            Self::Rust => "install Rust 1.94 or later, with cargo",
        }
    }
}

pub(super) async fn install(package: Package) -> Result<Program, Error> {
    let runtime = package.runtime();
    let version = run(package, Path::new("."), runtime.program(), &["--version"]).await?;
    let folder = target()?.join("peers").join(package.name());
    let doing = Error::io("copying a peer's source");
    let app = folder.join("app");
    remove(&app).map_err(&doing)?;
    copy(&package.source(), &app).map_err(&doing)?;
    match runtime {
        Runtime::Python | Runtime::Node => fetch(package, &folder, &version).await?,
        Runtime::Rust => build(package, &built(&folder)).await?,
    }
    let pins = pins(package)?;
    let pins: Vec<String> = pins
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let name = match runtime {
        Runtime::Python => version,
        Runtime::Node => format!("Node.js {version}"),
        // the report has it already, of what it is held against
        Runtime::Rust => "Rust".into(),
    };
    Ok(Program {
        package,
        folder,
        made_of: format!("{name}, {}", pins.join(", ")),
    })
}

/// Installs what it needs into the folder where its source is.
async fn fetch(package: Package, folder: &Path, version: &str) -> Result<(), Error> {
    let (runtime, app) = (package.runtime(), folder.join("app"));
    let doing = Error::io("installing what a peer needs");
    let locked = fs::read_to_string(app.join(runtime.lock())).map_err(&doing)?;
    let installed = format!("{version}\n{locked}");
    let mark = folder.join(MARK);
    if fs::read_to_string(&mark).ok().as_ref() == Some(&installed) {
        return Ok(());
    }
    say(format_args!("installing {}", package.name()));
    remove(&mark).map_err(&doing)?;
    if runtime == Runtime::Python {
        remove(&folder.join("venv")).map_err(&doing)?;
        run(package, folder, "python3", &["-m", "venv", "venv"]).await?;
        let requirements = ["--require-hashes", "-r", "app/requirements.txt"];
        let words = [&["-m", "pip", "install", "--quiet"], &requirements[..]].concat();
        run(package, folder, "venv/bin/python", &words).await?;
    } else {
        for name in ["package.json", "package-lock.json"] {
            fs::copy(app.join(name), folder.join(name)).map_err(&doing)?;
        }
        // none of them has to run anything to be installed
        let words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
        run(package, folder, "npm", &words).await?;
    }
    fs::write(&mark, &installed).map_err(&doing)
}

/// Where all is that is built, beside a package's own folder: they have much in common.
pub(super) fn built(folder: &Path) -> PathBuf {
    folder.with_file_name("built")
}

/// Builds it where it is, into the folder; cargo knows whether there is anything to do.
async fn build(package: Package, folder: &Path) -> Result<(), Error> {
    say(format_args!("building {}", package.name()));
    let folder = folder.to_string_lossy();
    let words = ["build", "--release", "--locked", "--target-dir", &folder];
    run(package, &package.source(), "cargo", &words).await?;
    Ok(())
}

/// What the package names of others, each with its version.
pub(super) fn pins(package: Package) -> Result<Vec<(String, String)>, Error> {
    let doing = Error::io("reading what a peer needs");
    let read = |name: &str| fs::read_to_string(package.source().join(name)).map_err(&doing);
    match package.runtime() {
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
                .map_err(|error| doing(error.into()))?;
            let needed = package["dependencies"].as_object();
            Ok(needed
                .into_iter()
                .flatten()
                .map(|(name, version)| (name.clone(), version.as_str().unwrap_or("").to_owned()))
                .collect())
        }
        Runtime::Rust => {
            let package: toml::Table = read("Cargo.toml")?
                .parse()
                .map_err(|error| doing(std::io::Error::other::<toml::de::Error>(error)))?;
            let needed = package
                .get("dependencies")
                .and_then(toml::Value::as_table)
                .into_iter()
                .flatten();
            Ok(needed
                .map(|(name, of)| {
                    let version = of.as_str().or_else(|| of.get("version")?.as_str());
                    let pinned = version.and_then(|version| version.strip_prefix('='));
                    (name.clone(), pinned.unwrap_or("").to_owned())
                })
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
async fn run(
    package: Package,
    folder: &Path,
    program: &str,
    words: &[&str],
) -> Result<String, Error> {
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
        peer: package.name(),
        program: program.into(),
        source,
        hint: package.runtime().hint(),
    })?;
    if !out.status.success() {
        let said = [out.stdout, out.stderr].concat();
        return Err(Error::Install {
            peer: package.name(),
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
