use std::time::Duration;

use reqwest::Response;
use serde_json::Value;

/// How long something is waited for that is told at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// Somebody who listens to server-sent events.
#[derive(Debug)]
pub struct Events {
    response: Response,
    /// What has come and is not read yet.
    text: String,
}

impl Events {
    pub(crate) fn new(response: Response) -> Self {
        Self {
            response,
            text: String::new(),
        }
    }

    /// The next event, by its name, and what it says; none at the end.
    ///
    /// # Panics
    /// When nothing comes for a while.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        let next = tokio::time::timeout(PATIENCE, self.read());
        next.await.expect("something is told")
    }

    /// Fails unless this is the next.
    ///
    /// # Panics
    /// When it is not.
    pub async fn is_next(&mut self, name: &str, data: Value) {
        assert_eq!(self.next().await, Some((name.to_owned(), data)));
    }

    /// Whether nothing is told for so long.
    pub async fn is_silent(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.read()).await.is_err()
    }

    /// Whether it ends within that time, whatever is told until then.
    pub async fn ends_within(&mut self, time: Duration) -> bool {
        let end = async { while self.read().await.is_some() {} };
        tokio::time::timeout(time, end).await.is_ok()
    }

    async fn read(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                        .map(str::to_owned)
                };
                let (name, data) = (field("event"), field("data"));
                self.text = rest.to_owned();
                // without a name it says only that the connection is alive
                if let (Some(name), Some(data)) = (name, data) {
                    return Some((name, serde_json::from_str(&data).unwrap()));
                }
            }
            let chunk = self.response.chunk().await.ok()??;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}
