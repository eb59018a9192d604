//! Requests that no HTTP client would send, byte by byte.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::{Program, Server};

/// What came back on the socket.
#[derive(Debug)]
pub struct Reply(
    /// All of it.
    pub String,
);

impl Reply {
    /// The status; none when the connection was closed without an answer.
    pub fn status(&self) -> Option<u16> {
        self.0.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
    }

    /// Fails unless it is a problem of that kind.
    #[track_caller]
    pub fn problem(&self, status: u16, slug: &str) {
        assert_eq!(self.status(), Some(status), "{self:?}");
        assert!(self.0.contains(&format!("/{slug}\"")), "{self:?}");
    }

    /// Fails unless the server refused it as the client's mistake.
    #[track_caller]
    pub fn is_client_error(&self) {
        assert!(matches!(self.status(), Some(400..=499)), "{self:?}");
    }
}

/// Sends the bytes as they are, and reads to the end. Their headers should close the connection.
pub fn exchange<P: Program>(server: &Server<P>, request: impl AsRef<[u8]>) -> Reply {
    let mut stream = TcpStream::connect(server.addr()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    // the server may answer and close before it has read everything
    drop(stream.write_all(request.as_ref()));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    Reply(String::from_utf8_lossy(&answer).into_owned())
}

/// A GET with these `Host` headers, as bytes.
pub fn get_with_hosts<P: Program>(server: &Server<P>, path: &[u8], hosts: &[&[u8]]) -> Reply {
    let mut request = [b"GET ", path, b" HTTP/1.1\r\nConnection: close\r\n"].concat();
    for host in hosts {
        request.extend([b"Host: ", *host, b"\r\n"].concat());
    }
    request.extend(b"\r\n");
    exchange(server, request)
}
