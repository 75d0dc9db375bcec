//! Servers for tests: HTTP with answers as a test wants them, and DNS.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::client::BmcClient;
use crate::bmc::media::Image;
use crate::run::dns::Dns;

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// How many requests came before it.
    pub(super) before: usize,
    /// Its method and path.
    pub(super) line: String,
    /// Its headers, with names in small letters.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Asked {
    /// Returns the range that it wants.
    pub(super) fn range(&self) -> (usize, usize) {
        let range = self.headers["range"].strip_prefix("bytes=").expect("a range of bytes");
        let (first, last) = range.split_once('-').expect("two ends");
        (first.parse().expect("a number"), last.parse().expect("a number"))
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Said {
    /// Status line and headers, without the length of the body.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
    /// After how many bytes of the body the connection is cut.
    pub(super) cut: Option<usize>,
}

/// Returns an answer without a body.
pub(super) fn status(head: &str) -> Said {
    Said { head: head.to_owned(), body: Vec::new(), cut: None }
}

/// Returns a part of a file, as a request wants it.
pub(super) fn part(file: &[u8], tag: &str, asked: &Asked) -> Said {
    let (first, last) = asked.range();
    let size = file.len();
    if first >= size {
        return status(&format!("416 Range Not Satisfiable\r\nContent-Range: bytes */{size}"));
    }
    let last = last.min(size - 1);
    let head =
        format!("206 Partial Content\r\nETag: \"{tag}\"\r\nContent-Range: bytes {first}-{last}/{size}");
    Said { head, body: file[first..=last].to_vec(), cut: None }
}

/// A server on the loopback. It ends when it is dropped.
pub(super) struct Peer {
    pub(super) port: u16,
    pub(super) asked: Arc<Mutex<Vec<Asked>>>,
    _task: JoinSet<()>,
}

type Answers = Arc<dyn Fn(&Asked) -> Said + Send + Sync>;

impl Peer {
    /// Starts a server.
    pub(super) async fn start(answer: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> Self {
        Self::listen(Arc::new(answer), None).await
    }

    /// Starts a server that speaks TLS.
    pub(super) async fn start_tls(
        acceptor: TlsAcceptor,
        answer: impl Fn(&Asked) -> Said + Send + Sync + 'static,
    ) -> Self {
        Self::listen(Arc::new(answer), Some(acceptor)).await
    }

    async fn listen(answer: Answers, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::new(Mutex::default());
        let log = Arc::clone(&asked);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut clients = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, log, tls) = (Arc::clone(&answer), Arc::clone(&log), tls.clone());
                clients.spawn(async move {
                    match tls {
                        None => serve(stream, &answer, &log).await,
                        // A client may refuse the certificate.
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &answer, &log).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self { port, asked, _task: task }
    }

    /// Returns the URL of a file.
    pub(super) fn url(&self, file: &str) -> String {
        format!("http://images.lab.test:{}/{file}", self.port)
    }

    /// Returns the requests so far, in short: the path, the range, and whether there was a password.
    pub(super) fn told(&self) -> Vec<String> {
        let asked = self.asked.lock().expect("no panic");
        let short = |asked: &Asked| {
            let password = if asked.headers.contains_key("authorization") { " with password" } else { "" };
            format!(
                "{} {}{password}",
                asked.line,
                asked.headers.get("range").map_or("-", |range| &range[6..])
            )
        };
        asked.iter().map(short).collect()
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &Answers,
    log: &Mutex<Vec<Asked>>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|length| *length > 0)?;
        let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
        let mut headers = BTreeMap::new();
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).await.ok()?;
            let Some((name, value)) = header.trim_end().split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().expect("a number"));
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let asked = {
            let mut log = log.lock().expect("no panic");
            let before = log.len();
            log.push(Asked { before, line, headers, body });
            log.last().expect("it was pushed").clone()
        };
        let Said { head, body, cut } = answer(&asked);
        let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.ok()?;
        stream.write_all(&body[..cut.unwrap_or(body.len())]).await.ok()?;
        stream.flush().await.ok()?;
        if cut.is_some() {
            stream.shutdown().await.ok()?;
            return None;
        }
    }
}

/// A DNS server that knows `images.lab.test` on the loopback.
pub(super) struct Names {
    pub(super) dns: Dns,
    _task: JoinSet<()>,
}

impl Names {
    pub(super) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let server: SocketAddr = socket.local_addr().expect("an address");
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
                let mut message = Message::from_vec(&buffer[..length]).expect("a query");
                message.metadata.message_type = MessageType::Response;
                let query = message.queries[0].clone();
                if query.name.to_string() != "images.lab.test." {
                    message.metadata.response_code = ResponseCode::NXDomain;
                } else if query.query_type == RecordType::A {
                    let data = RData::A(A(Ipv4Addr::LOCALHOST));
                    message.answers.push(Record::from_rdata(query.name, 60, data));
                }
                socket.send_to(&message.to_vec().expect("an answer"), peer).await.expect("a peer");
            }
        });
        Self { dns: Dns { server, domain: "lab.test".to_owned() }, _task: task }
    }

    /// Returns a client that may go to the loopback.
    pub(super) fn client(&self, authority: &Path) -> BmcClient {
        let (dns, authority) = (Some(self.dns.clone()), authority.to_owned());
        BmcClient { network: None, dns, authority, allows: |_: IpAddr| Ok(()) }
    }
}

/// Returns an image.
pub(super) fn image(url: &str) -> Image {
    Image { url: url.to_owned(), credentials: None, verifies_certificate: true, is_write_protected: true }
}
