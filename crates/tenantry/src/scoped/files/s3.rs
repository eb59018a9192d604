//! S3, and what speaks like it.

use std::{sync::Arc, time::Duration};

use object_store::{
    ClientConfigKey, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    client::{HttpClient, HttpConnector},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::store::FileStoreError;

/// How long somebody waits for a connection.
const TO_CONNECT: Duration = Duration::from_secs(5);
/// How long somebody waits for the next bytes. A large file may take as long as it takes.
const TO_ANSWER: Duration = Duration::from_secs(30);
/// How long a request is tried again that has failed on the way.
const TO_RETRY: Duration = Duration::from_secs(20);

pub(super) fn open<'o>(
    bucket: &str,
    options: impl IntoIterator<Item = (&'o str, &'o str)>,
) -> Result<Arc<dyn ObjectStore>, FileStoreError> {
    let wrong = |error: object_store::Error| FileStoreError::Options(Box::new(error));
    let mut builder = AmazonS3Builder::from_env();
    for (name, value) in options {
        builder = builder.with_config(name.parse().map_err(wrong)?, value);
    }
    let told = |key| builder.get_config_value(&key);
    let endpoint =
        told(AmazonS3ConfigKey::S3Endpoint).or_else(|| told(AmazonS3ConfigKey::Endpoint));
    let allowed = told(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp));
    let is_allowed = is_yes(allowed.as_deref().unwrap_or_default())
        .ok_or_else(|| FileStoreError::Options("aws_allow_http is true or false".into()))?;
    if let Some(endpoint) = endpoint.filter(|url| url.starts_with("http://") && !is_allowed) {
        return Err(FileStoreError::Plain(endpoint));
    }
    let retry = RetryConfig {
        max_retries: 5,
        retry_timeout: TO_RETRY,
        ..RetryConfig::default()
    };
    let store = builder
        .with_bucket_name(bucket)
        .with_retry(retry)
        .with_http_connector(Connector)
        .build();
    Ok(Arc::new(store.map_err(wrong)?))
}

/// As the store reads it.
fn is_yes(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "1" | "true" | "on" | "yes" | "y" => Some(true),
        "" | "0" | "false" | "off" | "no" | "n" => Some(false),
        _ => None,
    }
}

/// Connects with the TLS that everything else here has, and does not end what takes long.
#[derive(Debug)]
struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let failed =
            |error: Box<dyn std::error::Error + Send + Sync>| object_store::Error::Generic {
                store: "S3",
                source: error,
            };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.into()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let allowed = options.get_config_value(&ClientConfigKey::AllowHttp);
        let is_allowed = is_yes(allowed.as_deref().unwrap_or_default()).unwrap_or(false);
        let mut client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(!is_allowed)
            .connect_timeout(TO_CONNECT)
            .read_timeout(TO_ANSWER);
        if let Some(proxy) = options.get_config_value(&ClientConfigKey::ProxyUrl) {
            let proxy = reqwest::Proxy::all(proxy).map_err(|error| failed(error.into()))?;
            client = client.proxy(proxy);
        }
        let client = client.build().map_err(|error| failed(error.into()))?;
        Ok(HttpClient::new(client))
    }
}
