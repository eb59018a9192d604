use std::fmt;

use axum::{
    extract::{
        FromRequestParts,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code},
    },
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::Response,
};

use super::{GoesOn, Listening, Live, Sent};
use crate::{routing::Problem, tenant::Tenant};

/// How many bytes a message has at most that is taken.
const LARGEST: usize = 64 << 10;

/// A request to go on as a WebSocket, of the request's tenant: an argument of a handler.
///
/// A browser's is refused when it comes from another site's page: it would come with the cookies of
/// whoever looks at that.
pub struct Socket {
    upgrade: WebSocketUpgrade,
    live: Live,
}

impl Socket {
    /// As [`Live::only_while`].
    #[must_use]
    pub fn only_while<E: FromRequestParts<()> + Send + 'static>(mut self) -> Self {
        self.live = self.live.only_while::<E>();
        self
    }

    /// Sends what happens in these topics, each as a text: `{"event": …, "data": …}`. What is received
    /// is passed over.
    ///
    /// # Errors
    /// As [`Live::events`].
    pub fn events<T: Into<String>>(
        self,
        topics: impl IntoIterator<Item = T>,
    ) -> Result<Response, Problem> {
        self.on_open(topics, async |mut socket| {
            while let Some(heard) = socket.next().await {
                if let Heard::Event { topic, data } = heard {
                    let topic = serde_json::Value::from(topic);
                    let text = format!(r#"{{"event":{topic},"data":{data}}}"#);
                    if socket.send(text).await.is_err() {
                        return;
                    }
                }
            }
        })
    }

    /// Has `serve` speak with whoever is there, who also hears what happens in these topics.
    ///
    /// # Errors
    /// As [`Live::events`].
    pub fn on_open<T: Into<String>, F, Fut>(
        self,
        topics: impl IntoIterator<Item = T>,
        serve: F,
    ) -> Result<Response, Problem>
    where
        F: FnOnce(OpenSocket) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send,
    {
        let listening = Listening::begin(&self.live.live, self.live.watch, topics)?;
        let upgrade = self
            .upgrade
            .max_message_size(LARGEST)
            .max_frame_size(LARGEST);
        let mut response = upgrade.on_upgrade(async move |socket| {
            serve(OpenSocket {
                socket,
                listening,
                ended: false,
            })
            .await;
        });
        response.extensions_mut().insert(GoesOn);
        Ok(response)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Socket {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let live = Live::from_request_parts(parts, state).await?;
        if !is_own_page(&parts.headers) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "cross-origin",
                "This comes from another site's page.",
            ));
        }
        let upgrade = WebSocketUpgrade::from_request_parts(parts, state).await;
        let upgrade = upgrade.map_err(|_| {
            Problem::new(
                StatusCode::UPGRADE_REQUIRED,
                "websocket-required",
                "This is spoken to over a WebSocket.",
            )
        })?;
        Ok(Self { upgrade, live })
    }
}

/// Programs that are no browsers do not say where they come from.
fn is_own_page(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| {
        let (_scheme, host) = origin.split_once("://")?;
        Some(host)
    });
    origin
        .zip(host)
        .is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host))
}

/// What was heard on a socket.
#[derive(Debug)]
#[non_exhaustive]
pub enum Heard {
    /// Something happened in the tenant; `ready` and `missed` are among the topics.
    Event {
        /// What it is about.
        topic: String,
        /// What there is to say of it, in JSON.
        data: String,
    },
    /// Whoever is there said a text.
    Text(String),
    /// They said bytes.
    Bytes(bytes::Bytes),
}

/// A WebSocket that is open, bound to its tenant.
pub struct OpenSocket {
    socket: WebSocket,
    listening: Listening,
    ended: bool,
}

/// Whoever was there is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("whoever was there is gone")]
pub struct Gone;

impl OpenSocket {
    /// The tenant whose it is.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        self.listening.subscription.tenant()
    }

    /// What is heard next. `None` when nothing will be any more: they are gone, or the tenant does not
    /// work any more, or the process is about to end; then they have been told to go.
    pub async fn next(&mut self) -> Option<Heard> {
        if self.ended {
            return None;
        }
        loop {
            tokio::select! {
                sent = self.listening.next() => match sent {
                    Some(sent) => return Some(heard(&sent)),
                    None => {
                        self.ended = true;
                        self.close().await;
                        return None;
                    }
                },
                message = self.socket.recv() => match message {
                    Some(Ok(Message::Text(text))) => return Some(Heard::Text(text.as_str().into())),
                    Some(Ok(Message::Binary(bytes))) => return Some(Heard::Bytes(bytes)),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Close(_)) | Err(_)) | None => {
                        self.ended = true;
                        return None;
                    }
                },
            }
        }
    }

    /// Sends a text.
    ///
    /// # Errors
    /// When nobody is there any more.
    pub async fn send(&mut self, text: impl Into<String>) -> Result<(), Gone> {
        let text = Utf8Bytes::from(text.into());
        let sent = tokio::time::timeout(super::LOOK, self.socket.send(Message::Text(text)));
        match sent.await {
            Ok(Ok(())) => Ok(()),
            // who takes nothing is as good as gone
            Ok(Err(_)) | Err(_) => {
                self.ended = true;
                Err(Gone)
            }
        }
    }

    async fn close(&mut self) {
        let frame = CloseFrame {
            code: close_code::AWAY,
            reason: Utf8Bytes::from_static("over"),
        };
        let told = self.socket.send(Message::Close(Some(frame)));
        let _ = tokio::time::timeout(super::ALIVE, told).await;
    }
}

fn heard(sent: &Sent) -> Heard {
    Heard::Event {
        topic: sent.topic().into(),
        data: sent.data().into(),
    }
}

impl fmt::Debug for OpenSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSocket")
            .field("tenant", &self.tenant().id())
            .finish_non_exhaustive()
    }
}
