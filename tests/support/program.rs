//! A running data plane, ended when dropped.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest wait for the program to say its addresses, be ready, or end.
const PATIENCE: Duration = Duration::from_secs(30);

/// How to start a data plane.
#[derive(Debug, Clone)]
pub struct Flags {
    /// The flag that says where domains come from.
    pub source: &'static str,
    /// Manifests, a file or folder, or what else that flag names.
    pub manifests: PathBuf,
    /// Data folder.
    pub data_dir: PathBuf,
    /// Further flags, as typed.
    pub more: Vec<String>,
}

/// A data plane that runs.
pub struct Program {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    public: SocketAddr,
    api: SocketAddr,
    admin: SocketAddr,
}

/// What an HTTP request was answered with.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers, names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

// === Flags ===

impl Flags {
    /// These folders; ports of the system's choice, and hits settle at once.
    pub fn new(manifests: impl Into<PathBuf>, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            source: "--manifests",
            manifests: manifests.into(),
            data_dir: data_dir.into(),
            more: Vec::new(),
        }
    }

    /// The same with domains from a folder of ConfigShards.
    pub fn of_config_dir(folder: impl Into<PathBuf>, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            source: "--config-dir",
            ..Self::new(folder, data_dir)
        }
    }

    /// One more flag.
    pub fn with(mut self, flag: &str, value: impl Into<String>) -> Self {
        self.more.extend([flag.to_owned(), value.into()]);
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(crate::built("mailtrail-dataplane"));
        for flag in ["--public", "--api", "--admin"] {
            if !self.more.iter().any(|given| given == flag) {
                command.args([flag, "127.0.0.1:0"]);
            }
        }
        if !self.more.iter().any(|given| given == "--settle") {
            command.args(["--settle", "0s"]);
        }
        command
            .args(["--log-format", "json", self.source])
            .arg(&self.manifests)
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args(&self.more)
            .stderr(Stdio::piped());
        command
    }

    /// Runs a program that is expected to end by itself; gives its exit status
    /// and what it said.
    ///
    /// # Panics
    /// If it is still running after 30 seconds.
    pub fn refused(&self) -> (ExitStatus, String) {
        let mut child = self.command().spawn().expect("the built program starts");
        let mut stderr = child.stderr.take().expect("stderr is piped");
        let reader = std::thread::spawn(move || {
            let mut said = String::new();
            stderr.read_to_string(&mut said).map(|_| said)
        });
        let status = wait(&mut child).expect("the program ends by itself");
        (
            status,
            reader
                .join()
                .expect("no reader panics")
                .expect("what it said is text"),
        )
    }

    /// Starts the program and waits until it is ready.
    ///
    /// # Panics
    /// If it is not ready within 30 seconds; what it said is in the message.
    pub fn start(&self) -> Program {
        let mut child = self.command().spawn().expect("the built program starts");
        let lines = collect(&mut child);
        let begun = Instant::now();
        let [public, api, admin] = ["public address", "API address", "admin address"].map(|what| {
            loop {
                if let Some(address) = address_of(&lines, what) {
                    break address;
                }
                let ended = child.try_wait().expect("a child can be asked").is_some();
                if ended || begun.elapsed() > PATIENCE {
                    let _ = child.kill();
                    panic!(
                        "the program did not start:\n{}",
                        lines.lock().expect("no panic").join("\n")
                    );
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let program = Program {
            child,
            lines,
            public,
            api,
            admin,
        };
        while program.get(admin, "/ready").status != 200 {
            assert!(begun.elapsed() < PATIENCE, "not ready: {}", program.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        program
    }
}

// === Program ===

impl Program {
    /// Address of pixels and links.
    pub fn public(&self) -> SocketAddr {
        self.public
    }

    /// Address of the API.
    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// Address of live, ready, metrics, config.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All log lines so far.
    pub fn log(&self) -> String {
        self.lines.lock().expect("no reader panics").join("\n")
    }

    /// GET of a path on one of the addresses.
    pub fn get(&self, address: SocketAddr, path: &str) -> Answer {
        answer(agent().get(format!("http://{address}{path}")).call())
    }

    /// POST of JSON to the API.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        answer(
            agent()
                .post(format!("http://{}{path}", self.api))
                .send_json(body),
        )
    }

    /// Rewrites a mail over the API.
    ///
    /// # Panics
    /// If the answer is not 200.
    pub fn rewrite(&self, request: &Value) -> Value {
        let answer = self.post("/v1/rewrite", request);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// Loads a tracking URL as a mail client would: from the public address,
    /// with the URL's own host.
    pub fn follow(&self, url: &str) -> Answer {
        follow(self.public, url).expect("an answer")
    }

    /// All events of a domain, page by page.
    ///
    /// # Panics
    /// If a page is not 200.
    pub fn events(&self, domain: &str) -> Vec<Value> {
        let mut events = Vec::new();
        let mut after = String::new();
        loop {
            let page = self.get(
                self.api,
                &format!("/v1/domains/{domain}/events?limit=1000{after}"),
            );
            assert_eq!(page.status, 200, "{}", page.text());
            let page = page.json();
            let list = page["events"].as_array().expect("a list");
            if list.is_empty() {
                return events;
            }
            events.extend(list.iter().cloned());
            after = format!(
                "&after={}",
                page["next"].as_str().expect("a cursor is always given")
            );
        }
    }

    /// All events of a domain, as soon as there are so many: they are listed
    /// once they are settled.
    ///
    /// # Panics
    /// If there are fewer after 30 seconds.
    pub fn events_once_settled(&self, domain: &str, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        self.until(&format!("{count} events are settled"), |program| {
            events = program.events(domain);
            events.len() >= count
        });
        events
    }

    /// Asks for a stop (SIGTERM) and gives the exit status.
    ///
    /// # Panics
    /// If the program does not end within 30 seconds.
    pub fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        wait(&mut self.child).expect("the program ends when asked")
    }

    /// Kills it (SIGKILL).
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.pid().to_string()])
            .status();
        assert!(status.is_ok_and(|s| s.success()), "kill -{name}");
    }

    /// Waits until `done` holds.
    ///
    /// # Panics
    /// If it does not within 30 seconds.
    pub fn until(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !done(self) {
            assert!(
                begun.elapsed() < PATIENCE,
                "{what}: not so after {PATIENCE:?}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === Answer ===

impl Answer {
    /// A header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
}

/// Loads a tracking URL from `public`, the address of a data plane, with the
/// URL's own host, as a mail client behind a proxy would.
///
/// # Errors
/// If no answer comes.
pub fn follow(public: SocketAddr, url: &str) -> Result<Answer, ureq::Error> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let request = agent().get(format!("http://{public}/{path}"));
    read(
        request
            .header("host", host)
            .header("user-agent", firefox)
            .call()?,
    )
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(PATIENCE))
        .build();
    config.into()
}

fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    response.and_then(read).expect("an answer")
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> Result<Answer, ureq::Error> {
    let headers = response.headers().iter();
    let headers = headers
        .map(|(n, v)| {
            (
                n.to_string(),
                String::from_utf8_lossy(v.as_bytes()).into_owned(),
            )
        })
        .collect();
    let body = response
        .body_mut()
        .with_config()
        .limit(64 << 20)
        .read_to_vec()?;
    Ok(Answer {
        status: response.status().as_u16(),
        headers,
        body,
    })
}

fn collect(child: &mut Child) -> Arc<Mutex<Vec<String>>> {
    let stderr = child.stderr.take().expect("stderr is piped");
    let lines = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            into.lock().expect("no reader panics").push(line);
        }
    });
    lines
}

fn address_of(lines: &Mutex<Vec<String>>, what: &str) -> Option<SocketAddr> {
    let lines = lines.lock().expect("no reader panics");
    let line = lines.iter().find(|line| line.contains(what))?;
    serde_json::from_str::<Value>(line).ok()?["address"]
        .as_str()?
        .parse()
        .ok()
}

fn wait(child: &mut Child) -> Option<ExitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().expect("a child can be asked") {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    None
}
