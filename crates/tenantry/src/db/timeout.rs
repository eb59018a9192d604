use std::time::Duration;

/// How long one statement on a handle may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timeout {
    /// As long as a connection has it by itself: on a server what the deployment says, on a file for
    /// ever. For the library's own work.
    AsConnected,
    /// No longer than that.
    After(Duration),
    /// As long as it takes.
    Never,
}

impl Timeout {
    /// What is left of it where connections have `connected` by themselves.
    pub(super) fn unless(self, connected: Duration) -> Self {
        match self {
            Self::After(longest) if longest == connected => Self::AsConnected,
            other => other,
        }
    }

    /// How long, where it has an end that is the handle's own.
    pub(super) fn longest(self) -> Option<Duration> {
        match self {
            Self::After(longest) => Some(longest),
            Self::AsConnected | Self::Never => None,
        }
    }
}
