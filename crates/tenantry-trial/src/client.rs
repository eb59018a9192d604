use std::{sync::Arc, time::Duration};

use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use serde_json::Value;

use crate::{Answer, Events, Program, Server};

/// Somebody who asks the server: a tenant named or not, signed in or not.
#[derive(Debug)]
pub struct Client<P: Program> {
    http: reqwest::Client,
    /// It lives as long as anybody asks it.
    server: Arc<Server<P>>,
    headers: HeaderMap,
}

/// What a request carries.
#[derive(Debug, Clone)]
pub enum Payload {
    /// No body.
    Nothing,
    /// JSON.
    Json(Value),
    /// A form, as browsers post it.
    Form(Vec<(&'static str, String)>),
    /// Bytes of that type; of none where it is empty.
    Bytes(&'static str, Vec<u8>),
}

impl<P: Program> Clone for Client<P> {
    fn clone(&self) -> Self {
        Self {
            http: self.http.clone(),
            server: self.server.clone(),
            headers: self.headers.clone(),
        }
    }
}

impl<P: Program> Client<P> {
    /// Without a tenant, and nobody.
    pub fn new(server: Arc<Server<P>>) -> Self {
        let http = http()
            .redirect(Policy::none())
            .timeout(Duration::from_secs(30))
            .build()
            .unwrap();
        Self {
            http,
            server,
            headers: HeaderMap::new(),
        }
    }

    /// The same, with a header set.
    pub fn with(&self, name: &'static str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        );
        client
    }

    /// The same, without a header.
    pub fn without(&self, name: &str) -> Self {
        let mut client = self.clone();
        client.headers.remove(name);
        client
    }

    /// The same, with a token.
    #[must_use]
    pub fn bearer(&self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    /// The same, with the session of users inside tenants.
    #[must_use]
    pub fn cookie(&self, token: &str) -> Self {
        self.without("authorization")
            .with("cookie", &format!("session={token}"))
    }

    /// The same, with the session of an account.
    #[must_use]
    pub fn account_cookie(&self, token: &str) -> Self {
        self.without("authorization")
            .with("cookie", &format!("account={token}"))
    }

    /// As a browser asks for pages.
    pub fn browser(&self) -> Self {
        self.with("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
    }

    /// A GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, Payload::Nothing).await
    }

    /// Listens to server-sent events, the first of which has come.
    ///
    /// # Panics
    /// When that is not to be.
    pub async fn listen(&self, path: &str) -> Events {
        let url = format!("http://{}{path}", self.server.addr());
        // it may last longer than an answer may take
        let http = http().build().unwrap();
        let request = http.get(url).headers(self.headers.clone());
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let mut events = Events::new(response);
        events.is_next("ready", Value::Null).await;
        events
    }

    /// A DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, Payload::Nothing).await
    }

    /// A POST.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, Payload::Json(body)).await
    }

    /// A PUT.
    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, Payload::Json(body)).await
    }

    /// A PATCH.
    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, Payload::Json(body)).await
    }

    /// A POST of a form.
    pub async fn form(&self, path: &str, fields: &[(&'static str, &str)]) -> Answer {
        let fields = fields
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        self.send("POST", path, Payload::Form(fields)).await
    }

    /// A body of any type.
    pub async fn raw(
        &self,
        method: &str,
        path: &str,
        content_type: &'static str,
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        self.send(method, path, Payload::Bytes(content_type, body.into()))
            .await
    }

    /// Any request.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(&self, method: &str, path: &str, payload: Payload) -> Answer {
        let sent = self.try_send(method, path, payload).await;
        sent.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"))
    }

    /// As [`send`](Self::send), for when the server may be gone.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn try_send(
        &self,
        method: &str,
        path: &str,
        payload: Payload,
    ) -> Result<Answer, reqwest::Error> {
        let method: Method = method.parse().unwrap();
        let asked = format!("{method} {path}");
        let request = self
            .http
            .request(method, format!("http://{}{path}", self.server.addr()))
            .headers(self.headers.clone());
        let request = match payload {
            Payload::Nothing => request,
            Payload::Json(body) => request.json(&body),
            Payload::Form(fields) => request.form(&fields),
            Payload::Bytes("", body) => request.body(body),
            Payload::Bytes(kind, body) => request.header("content-type", kind).body(body),
        };
        let mut response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = match headers.get(CONTENT_TYPE) {
            // of what goes on for ever the beginning
            Some(kind) if kind == "text/event-stream" => {
                response.chunk().await?.unwrap_or_default()
            }
            _ => response.bytes().await?,
        };
        Ok(Answer {
            asked,
            status: status.as_u16(),
            headers,
            body: body.into(),
        })
    }
}

/// What asks over HTTP, past any proxy.
pub fn http() -> reqwest::ClientBuilder {
    // one that has TLS at all asks for a provider, even where nothing is encrypted; it may be there
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().no_proxy()
}
