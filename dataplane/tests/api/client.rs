//! A raw HTTP/1.1 client, one request a connection: sends what it is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A request that is being made.
#[derive(Clone)]
pub(crate) struct Request {
    head: Vec<(String, Vec<u8>)>,
    line: String,
    body: Vec<u8>,
    chunked: bool,
}

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// Whether it came to its end.
    pub(crate) whole: bool,
}

pub(crate) fn get(path: &str) -> Request {
    Request::new("GET", path)
}

pub(crate) fn post(path: &str, body: &Value) -> Request {
    post_raw(path, body.to_string().as_bytes())
}

pub(crate) fn post_raw(path: &str, body: &[u8]) -> Request {
    Request::new("POST", path)
        .header("content-type", "application/json")
        .body(body)
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
    stream
}

impl Request {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self {
            head: Vec::new(),
            line: format!("{method} {path} HTTP/1.1\r\n"),
            body: Vec::new(),
            chunked: false,
        }
        .header("host", "localhost")
        .header("connection", "close")
    }

    /// Adds a header field.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.head.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Puts a header field in place of those of its name.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.head.retain(|(known, _)| known != name);
        self.header(name, value)
    }

    /// The same to another path.
    pub(crate) fn to(mut self, part: &str, other: &str) -> Self {
        self.line = self.line.replace(part, other);
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    /// Sends the body in pieces and without its length.
    pub(crate) fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    fn framed(&self) -> bool {
        self.head
            .iter()
            .any(|(name, _)| name == "content-length" || name == "transfer-encoding")
    }

    /// The bytes of the request.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = self.line.clone().into_bytes();
        for (name, value) in &self.head {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        if self.chunked {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
            for piece in self.body.chunks(10_007) {
                out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                out.extend_from_slice(piece);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"0\r\n\r\n");
        } else {
            if !self.framed() {
                let length = format!("content-length: {}\r\n", self.body.len());
                out.extend_from_slice(length.as_bytes());
            }
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(&self.body);
        }
        out
    }

    /// Writes all, then reads all.
    pub(crate) fn send(&self, address: SocketAddr) -> Answer {
        let mut stream = connect(address);
        // The answer may come, and the connection end, before all is written.
        let _ = stream.write_all(&self.bytes());
        Answer::read(stream)
    }
}

impl Answer {
    /// Reads to the end of the connection.
    pub(crate) fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Self {
        let end = find(bytes, b"\r\n\r\n").unwrap_or_else(|| {
            panic!(
                "no head in {} bytes: {:?}",
                bytes.len(),
                String::from_utf8_lossy(bytes)
            )
        });
        let head = String::from_utf8(bytes[..end].to_vec()).expect("a head in ASCII");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let mut answer = Self {
            status: status.and_then(|s| s.parse().ok()).expect("a status"),
            headers: fields(lines),
            body: Vec::new(),
            trailers: Vec::new(),
            whole: false,
        };
        let rest = &bytes[end + 4..];
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.read_chunks(rest);
        } else {
            answer.body = rest.to_vec();
            let length = answer.header("content-length").map(|l| l.parse::<usize>());
            answer.whole = length == Some(Ok(rest.len()));
        }
        answer
    }

    fn read_chunks(&mut self, mut rest: &[u8]) {
        while let Some(end) = find(rest, b"\r\n") {
            let size = std::str::from_utf8(&rest[..end]).expect("a size");
            let size = usize::from_str_radix(size, 16).expect("a size in hexadecimal");
            rest = &rest[end + 2..];
            if size == 0 {
                let trailers = String::from_utf8(rest.to_vec()).expect("trailers in ASCII");
                self.trailers = fields(trailers.lines().filter(|line| !line.is_empty()));
                self.whole = trailers.ends_with("\r\n");
                return;
            }
            if rest.len() < size + 2 {
                return;
            }
            self.body.extend_from_slice(&rest[..size]);
            rest = &rest[size + 2..];
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} stands once: {self:?}");
        value
    }

    pub(crate) fn trailer(&self, name: &str) -> Option<&str> {
        let found = self.trailers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// The body of an answer that is JSON and says so.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(
            self.header("content-type"),
            Some("application/json"),
            "{self:?}"
        );
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The body of a refusal: its status, its type's last word, the whole.
    pub(crate) fn problem(&self) -> (u16, String, Value) {
        let of = self.header("content-type");
        assert_eq!(of, Some("application/problem+json"), "{self:?}");
        let body: Value = serde_json::from_slice(&self.body).expect("JSON");
        assert_eq!(body["status"], self.status, "{body}");
        let kind = body["type"].as_str().expect("a type");
        let word = kind
            .strip_prefix("https://mailtrail.dev/problems/")
            .expect("a type of ours");
        (self.status, word.to_owned(), body)
    }

    /// The fields that a refusal names.
    pub(crate) fn faults(&self) -> Vec<String> {
        let (status, word, body) = self.problem();
        assert_eq!((status, word.as_str()), (422, "invalid"), "{body}");
        let list = body["errors"].as_array().expect("errors");
        let mut names: Vec<_> = list
            .iter()
            .map(|error| error["field"].as_str().expect("a field").to_owned())
            .collect();
        names.sort();
        names
    }
}

fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    lines
        .map(|line| {
            let (name, value) = line.split_once(':').expect("a field");
            (name.to_ascii_lowercase(), value.trim().to_owned())
        })
        .collect()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
