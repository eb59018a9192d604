//! Where a crash test can kill the process.

/// Kills the process, as `kill -9` does, when `TENANTRY_KILL_AT` names this point. Only in debug
/// builds.
pub(crate) fn failpoint(name: &str) {
    if cfg!(debug_assertions) && std::env::var("TENANTRY_KILL_AT").is_ok_and(|at| at == name) {
        let pid = std::process::id().to_string();
        drop(
            std::process::Command::new("kill")
                .args(["-9", &pid])
                .status(),
        );
        loop {
            std::thread::park();
        }
    }
}
