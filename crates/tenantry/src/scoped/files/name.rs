use std::{fmt, str::FromStr};

use object_store::path::Path;
use serde::{Deserialize, Serialize};

/// The most bytes that a name has.
const LONGEST: usize = 400;

/// The most bytes between two slashes, so that every file system takes it.
const LONGEST_PART: usize = 200;

/// What a file is called within its tenant: parts with slashes between them, as `invoices/2030/7.pdf`.
///
/// It leads nowhere but down. No part is empty, begins with a dot, or ends with a dot or a blank; none
/// has control characters, those that turn the direction of writing or cannot be seen, or what a file
/// system or a URL takes for something else (`\ : * ? " < > | # %`). A name has up to 400 bytes, a
/// part up to 200.
///
/// ```
/// use tenantry::scoped::files::FileName;
///
/// let name: FileName = "invoices/2030/7.pdf".parse()?;
/// assert_eq!(name.as_str(), "invoices/2030/7.pdf");
/// for wrong in ["", "/etc/passwd", "../secret", "a//b", "a/./b", "a\\b", "a\0b", "a/"] {
///     assert!(wrong.parse::<FileName>().is_err());
/// }
/// # Ok::<_, tenantry::scoped::files::NameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileName(String);

/// Why a text is not the name of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It has no bytes, or more than a name may have.
    #[error("a file's name has 1 to {LONGEST} bytes")]
    Length,
    /// A part has no bytes, or more than it may have.
    #[error("between two slashes of a file's name are 1 to {LONGEST_PART} bytes")]
    Part,
    /// A part begins or ends with what no part begins or ends with.
    #[error("no part of a file's name begins with a dot or a blank, or ends with one")]
    Edge,
    /// It has a character that no name has.
    #[error("a file's name does not have the character {0:?}")]
    Character(char),
}

impl FileName {
    /// The name that a text is.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        check(&text)?;
        Ok(Self(text))
    }

    /// It as a text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands after its last slash.
    #[must_use]
    pub fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// It as a part of a URL's path.
    #[must_use]
    pub fn in_url(&self) -> String {
        escaped(&self.0, true)
    }

    /// A name below this one.
    ///
    /// # Errors
    /// When that is none.
    pub fn join(&self, below: &str) -> Result<Self, NameError> {
        Self::new(format!("{self}/{below}"))
    }

    /// Where it is in the store of its tenant.
    pub(crate) fn path(&self) -> Path {
        // parsed, because collected it would be escaped, and be another name there
        Path::parse(&self.0).expect("what is a name here is a path of the store's")
    }
}

/// As in a URL: all but what needs no escape there.
pub(crate) fn escaped(text: &str, with_slashes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            b'/' if with_slashes => out.push('/'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() || text.len() > LONGEST {
        return Err(NameError::Length);
    }
    for part in text.split('/') {
        if part.is_empty() || part.len() > LONGEST_PART {
            return Err(NameError::Part);
        }
        let is_edge = |c: char| c == '.' || c.is_whitespace();
        if part.starts_with(is_edge) || part.ends_with(is_edge) {
            return Err(NameError::Edge);
        }
        if let Some(wrong) = part.chars().find(|c| is_refused(*c)) {
            return Err(NameError::Character(wrong));
        }
    }
    Ok(())
}

fn is_refused(c: char) -> bool {
    // what the store escapes on its own, so that a name would not be where it says, is refused too
    c.is_control()
        || r#"\:*?"<>|#%{}[]^`~"#.contains(c)
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{ffff}'
        )
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for FileName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl TryFrom<String> for FileName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl From<FileName> for String {
    fn from(name: FileName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::{FileName, LONGEST, LONGEST_PART};

    /// What leads out of a folder on some system, or hides in a name.
    const CROOKED: &[&str] = &[
        "",
        ".",
        "..",
        "/",
        "//",
        "a/",
        "/a",
        "../a",
        "a/../b",
        "a/..",
        "a/./b",
        "a//b",
        "..\\a",
        "C:\\a",
        "C:a",
        "\\\\server\\a",
        "a\0",
        "a\n",
        "a#1",
        "%2e%2e/a",
        ".hidden",
        "a/.b",
        "a.",
        "a ",
        " a",
        "a/ /b",
        "\u{202e}gpj.exe",
        "a\u{200b}",
        "\u{feff}a",
        "a|b",
        "~",
        "...",
    ];

    #[test]
    fn crooked_names_are_refused() {
        for text in CROOKED {
            assert!(FileName::new(*text).is_err(), "{text:?}");
        }
        assert!(FileName::new("a".repeat(LONGEST_PART + 1)).is_err());
        assert!(FileName::new(format!("{}a", "a/".repeat(LONGEST / 2))).is_err());
        for text in [
            "a",
            "a.b",
            "a b",
            "ä/ö.png",
            "a/b/c",
            "..a".trim_start_matches('.'),
            "a..b",
        ] {
            assert_eq!(FileName::new(text).unwrap().as_str(), text);
        }
        assert!(FileName::new("a".repeat(LONGEST_PART)).is_ok());
    }

    #[test]
    fn names_are_escaped_in_urls() {
        let name = FileName::new("a b/ä&c=1.png").unwrap();
        assert_eq!(name.in_url(), "a%20b/%C3%A4%26c%3D1.png");
    }

    proptest! {
        #[test]
        fn what_is_a_name_leads_down_and_nowhere_else(
            parts in prop::collection::vec(
                prop_oneof![
                    prop::sample::select(CROOKED).prop_map(str::to_owned),
                    any::<String>(),
                    "[a-z.]{0,4}",
                ],
                1..5,
            ),
        ) {
            let text = parts.join("/");
            if let Ok(name) = FileName::new(text.clone()) {
                let path = Path::new(name.as_str());
                prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))));
                prop_assert!(path.is_relative());
                // the store has it under the very same name
                let stored = name.path();
                prop_assert_eq!(stored.as_ref(), text.as_str());
                let there = Path::new("/root").join(path);
                prop_assert!(there.starts_with("/root") && there != Path::new("/root"));
                prop_assert!(!name.as_str().contains(['\0', '\\', '#']));
            }
        }
    }
}
