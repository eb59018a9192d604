use std::{path::PathBuf, process::Command};

use tempfile::TempDir;

/// A certificate of a server that it has signed itself, in files that go with this. Who has it among those
/// that are trusted takes it for that server's, and nobody else does.
#[derive(Debug)]
pub struct SelfSigned {
    /// The certificate, as PEM.
    pub certificate: PathBuf,
    /// Its key, as PEM.
    pub key: PathBuf,
    _folder: TempDir,
}

impl SelfSigned {
    /// For a server of that name, as openssl says it: `DNS:localhost`, `IP:127.0.0.1`.
    ///
    /// # Panics
    /// When openssl cannot be run.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let (key, certificate) = (
            folder.path().join("key.pem"),
            folder.path().join("certificate.pem"),
        );
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-days", "2", "-subj", "/CN=localhost", "-addext"])
            .arg(format!("subjectAltName={name}"))
            // what signs itself and is a server's alone cannot be taken for an authority
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .expect("openssl can be run; hint: `make setup` installs what tests need");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        Self {
            certificate,
            key,
            _folder: folder,
        }
    }
}
