//! A raw HTTP/1.1 client: sends bytes as they are, reads one response at a time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A response as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case, in the order they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} stands once: {self:?}");
        value
    }

    /// All headers but the date, sorted.
    pub(crate) fn head(&self) -> Vec<(&str, &str)> {
        let mut head: Vec<_> = self
            .headers
            .iter()
            .filter(|(name, _)| name != "date")
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        head.sort_unstable();
        head
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

pub(crate) struct Client {
    stream: Box<dyn Stream>,
    /// What that goes over.
    socket: TcpStream,
    read: Vec<u8>,
}

/// A socket, or TLS on one.
pub(crate) trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("connect")
    }

    /// Nothing where nobody listens.
    pub(crate) fn try_connect(address: SocketAddr) -> Option<Self> {
        let socket = socket(address)?;
        let stream = socket.try_clone().expect("a handle");
        Some(Self::over(stream, socket))
    }

    /// Over TLS that has come about.
    pub(crate) fn over(stream: impl Stream + 'static, socket: TcpStream) -> Self {
        Self {
            stream: Box::new(stream),
            socket,
            read: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("send");
    }

    /// Sends as much as the other side takes before it closes; whether that was all.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// One request and its response.
    pub(crate) fn ask(&mut self, request: &str) -> Response {
        self.send(request);
        self.receive()
    }

    /// Like [`Client::ask`]; nothing where the other side closed instead.
    pub(crate) fn try_ask(&mut self, request: &str) -> Option<Response> {
        self.try_send(request.as_bytes());
        self.try_receive(false)
    }

    /// The same connection, to write single bytes from elsewhere.
    pub(crate) fn another_handle(&self) -> Drip {
        Drip(self.socket.try_clone().expect("a handle"))
    }

    /// The next response; `None` where the connection ended before it began.
    pub(crate) fn try_receive(&mut self, to_head: bool) -> Option<Response> {
        let end = loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                break end + 4;
            }
            if !self.fill() {
                assert!(self.read.is_empty(), "cut off: {:?}", self.read);
                return None;
            }
        };
        let head: Vec<u8> = self.read.drain(..end).collect();
        let mut response = parse_head(std::str::from_utf8(&head).expect("ascii"));
        let length = response.header("content-length").unwrap_or("0");
        let length: usize = length.parse().expect("a length");
        let length = if to_head { 0 } else { length };
        while self.read.len() < length {
            assert!(self.fill(), "body cut off");
        }
        response.body = self.read.drain(..length).collect();
        Some(response)
    }

    pub(crate) fn receive(&mut self) -> Response {
        self.try_receive(false).expect("a response")
    }

    /// Whether nothing more comes: the other side has closed.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.fill()
    }

    /// Reads something; false at the end, and where the other side reset, or
    /// closed without the word that TLS has for it.
    fn fill(&mut self) -> bool {
        use std::io::ErrorKind::{ConnectionReset, UnexpectedEof};
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(n) => {
                self.read.extend_from_slice(&buffer[..n]);
                true
            }
            Err(e) if matches!(e.kind(), ConnectionReset | UnexpectedEof) => false,
            Err(e) => panic!("nothing came within {PATIENCE:?}: {e}"),
        }
    }
}

/// A socket with times, so that no test waits for ever; nothing where nobody listens.
pub(crate) fn socket(address: SocketAddr) -> Option<TcpStream> {
    let socket = TcpStream::connect(address).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
    socket.set_write_timeout(Some(PATIENCE)).expect("timeout");
    socket.set_nodelay(true).expect("nodelay");
    Some(socket)
}

/// Writes single bytes.
pub(crate) struct Drip(TcpStream);

impl Drip {
    /// Whether the other side still takes bytes.
    pub(crate) fn write_byte(&mut self, byte: u8) -> bool {
        self.0.write_all(&[byte]).is_ok()
    }
}

fn parse_head(head: &str) -> Response {
    let mut lines = head.trim_end().split("\r\n");
    let status_line = lines.next().expect("a status line");
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| status_line.strip_prefix("HTTP/1.0 "))
        .and_then(|rest| rest.get(..3));
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':').expect("a field");
        (name.to_ascii_lowercase(), value.trim().to_owned())
    });
    Response {
        status: status.expect("HTTP/1").parse().expect("a status"),
        headers: headers.collect(),
        body: Vec::new(),
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|at| at == wanted)
}
