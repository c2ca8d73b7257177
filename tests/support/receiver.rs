//! What webhooks are posted to: on loopback, answering as a test says, however
//! badly.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// When.
    pub at: Instant,
    /// Method and path.
    pub line: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// The connection's number, from 1 on.
    pub connection: usize,
}

/// How a request is answered.
#[derive(Debug, Clone)]
pub enum Reply {
    /// With a status and nothing else.
    Status(u16),
    /// With a status and these header lines.
    With(u16, &'static str),
    /// With these bytes, whatever they are; then the connection is closed.
    Bytes(Vec<u8>),
    /// With 200 and a body of so many bytes, one every so often.
    Drip(usize, Duration),
    /// With 200 and a body of so many bytes at once.
    Flood(usize),
    /// Not at all.
    Hang,
    /// By closing the connection.
    Cut,
}

type Answerer = dyn Fn(&Received, usize) -> Reply + Send + Sync;

/// A receiver; answers for as long as it lives.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    received: Mutex<Vec<Received>>,
    answerer: Mutex<Arc<Answerer>>,
    connections: AtomicUsize,
    ends: AtomicBool,
}

impl Receiver {
    /// One that answers 204 to everything.
    pub fn start() -> Self {
        Self::answering(|_, _| Reply::Status(204))
    }

    /// One that answers by what came and how many came before.
    pub fn answering(answerer: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into(), answerer)
    }

    /// The same at an address.
    ///
    /// # Panics
    /// If the address cannot be had.
    pub fn at(
        address: SocketAddr,
        answerer: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("an address");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            received: Mutex::default(),
            answerer: Mutex::new(Arc::new(answerer)),
            connections: AtomicUsize::new(0),
            ends: AtomicBool::new(false),
        });
        let accepts = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepts.ends.load(Ordering::SeqCst) {
                    return;
                }
                let number = accepts.connections.fetch_add(1, Ordering::SeqCst) + 1;
                let shared = Arc::clone(&accepts);
                std::thread::spawn(move || shared.serve(&stream, number));
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, with a path.
    pub fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }

    /// Answers otherwise from now on.
    pub fn answer(&self, answerer: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static) {
        *self.shared.answerer.lock().expect("nobody panics in here") = Arc::new(answerer);
    }

    /// All that came so far, in its order.
    pub fn received(&self) -> Vec<Received> {
        self.shared
            .received
            .lock()
            .expect("nobody panics in here")
            .clone()
    }

    /// How many came so far.
    pub fn count(&self) -> usize {
        self.shared
            .received
            .lock()
            .expect("nobody panics in here")
            .len()
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Waits until so many came.
    ///
    /// # Panics
    /// If they have not within 30 seconds.
    pub fn until(&self, count: usize) -> Vec<Received> {
        let begun = Instant::now();
        while self.count() < count {
            let waited = begun.elapsed();
            assert!(
                waited < Duration::from_secs(30),
                "{} of {count} came within {waited:?}",
                self.count()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        self.received()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        // Who waits for a connection gets one, and ends.
        let _ = TcpStream::connect(self.address);
    }
}

impl Received {
    /// A header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// What receivers know a delivery by.
    ///
    /// # Panics
    /// If there is nothing of that kind.
    pub fn id(&self) -> &str {
        self.header("webhook-id")
            .or(self.header("svix-id"))
            .expect("an id")
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

impl Shared {
    fn serve(&self, stream: &TcpStream, connection: usize) {
        let mut reader = BufReader::new(stream);
        while let Some(received) = read(&mut reader, connection) {
            let before = {
                let mut all = self.received.lock().expect("nobody panics in here");
                all.push(received.clone());
                all.len() - 1
            };
            let answerer = Arc::clone(&self.answerer.lock().expect("nobody panics in here"));
            if !write(stream, answerer(&received, before)) {
                return;
            }
        }
    }
}

/// Reads a request; none where the connection ends.
fn read(reader: &mut BufReader<&TcpStream>, connection: usize) -> Option<Received> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut lines = lines.into_iter();
    let line = lines.next()?;
    let headers: Vec<_> = lines
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Received {
        at: Instant::now(),
        line,
        headers,
        body,
        connection,
    })
}

/// Whether the connection goes on.
fn write(mut stream: &TcpStream, reply: Reply) -> bool {
    match reply {
        Reply::Status(status) => all(stream, head(status, "", 0).as_bytes()),
        Reply::With(status, lines) => all(stream, head(status, lines, 0).as_bytes()),
        Reply::Bytes(bytes) => {
            all(stream, &bytes);
            false
        }
        Reply::Drip(bytes, every) => {
            let mut goes_on = all(stream, head(200, "", bytes).as_bytes());
            for _ in 0..bytes {
                std::thread::sleep(every);
                goes_on = goes_on && all(stream, b"x");
            }
            goes_on
        }
        Reply::Flood(bytes) => {
            let chunk = vec![b'x'; 64 * 1024];
            let mut goes_on = all(stream, head(200, "", bytes).as_bytes());
            let mut left = bytes;
            while goes_on && left > 0 {
                let now = left.min(chunk.len());
                goes_on = all(stream, &chunk[..now]);
                left -= now;
            }
            goes_on
        }
        Reply::Hang => {
            // Until the other side gives up.
            let _ = stream.read(&mut [0]);
            false
        }
        Reply::Cut => false,
    }
}

fn head(status: u16, lines: &str, length: usize) -> String {
    format!("HTTP/1.1 {status} As Told\r\n{lines}content-length: {length}\r\n\r\n")
}

fn all(mut stream: &TcpStream, bytes: &[u8]) -> bool {
    stream.write_all(bytes).is_ok()
}
