//! What a zone says, asked of name servers.

use std::{net::SocketAddr, time::Duration};

use hickory_resolver::{
    Resolver, TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RData},
};

/// How long one name server may take, and how often it is asked again.
const TIMEOUT: Duration = Duration::from_secs(3);
const ATTEMPTS: usize = 2;

/// The name servers that are asked: the system's, where there are none.
#[derive(Debug, Clone, Default)]
pub(crate) struct NameServers(pub(crate) Vec<SocketAddr>);

impl NameServers {
    /// The texts that there are under a name, each in one piece. Nothing is remembered between
    /// questions: who has just set a record wants it to be seen.
    pub(crate) async fn texts(&self, name: &str) -> Result<Vec<Vec<u8>>, NetError> {
        let name = Name::from_ascii(format!("{name}.")).map_err(NetError::from)?;
        let found = match self.resolver()?.txt_lookup(name).await {
            Ok(found) => found,
            Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let texts = found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::TXT(text) => Some(text.txt_data.concat()),
                _ => None,
            });
        Ok(texts.collect())
    }

    fn resolver(&self) -> Result<TokioResolver, NetError> {
        let mut builder = if self.0.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let servers = self.0.iter().map(|address| {
                let on = |mut connection: ConnectionConfig| {
                    connection.port = address.port();
                    connection
                };
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(on);
                NameServerConfig::new(address.ip(), true, connections.into())
            });
            let config = ResolverConfig::from_name_servers(servers.collect());
            Resolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = TIMEOUT;
        options.attempts = ATTEMPTS;
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        builder.build()
    }
}
