use std::{
    fs,
    path::{Path, PathBuf},
};

/// The files below a folder that have these bytes in them, by path: for tests that look whether a
/// secret lies about. Whoever finds nothing plants one first, to see that it would be found.
///
/// # Panics
/// When a file cannot be read that is not gone.
#[must_use]
pub fn files_with(folder: &Path, needle: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            match fs::read(&path) {
                Ok(bytes) => {
                    if bytes.windows(needle.len()).any(|some| some == needle) {
                        found.push(path);
                    }
                }
                Err(_) if !path.exists() => {}
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }
    found.sort();
    found
}
