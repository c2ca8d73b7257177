//! A real PostgreSQL, made for a test and gone with it, and databases in it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use crate::process::signal;
use crate::program::Flags;

/// A server on loopback, which ends with the test process, however that ends.
pub struct Postgres {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Mutex<BufReader<ChildStdout>>,
    pid: AtomicU32,
    port: u16,
    folder: PathBuf,
    databases: AtomicU32,
}

/// A database of a server.
pub struct Database<'a> {
    /// Its server.
    pub server: &'a Postgres,
    name: String,
}

/// A session of `psql` that is open, as for a transaction that lasts.
pub struct Session {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Postgres {
    /// Starts one.
    ///
    /// # Panics
    /// If it does not start: `make test` installs it on Debian.
    pub fn start() -> Self {
        Self::start_by(Command::new(Self::script()))
    }

    /// Starts one with its data below a folder that its user may reach.
    pub fn start_in(folder: &Path) -> Self {
        let mut command = Command::new(Self::script());
        command.env("PLACE", folder);
        Self::start_by(command)
    }

    /// Starts one that has all that this one has, and follows it.
    pub fn standby(&self) -> Self {
        let mut command = Command::new(Self::script());
        let of = format!("{} {}", self.port, self.folder.display());
        command.env("STANDBY_OF", of);
        Self::start_by(command)
    }

    /// What starts one.
    pub(crate) fn script() -> PathBuf {
        crate::root().join("tests/postgres/server.sh")
    }

    /// Starts one by a command that runs the script.
    pub(crate) fn start_by(mut command: Command) -> Self {
        let mut child = command
            .arg("hold")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("server.sh starts");
        let stdin = child.stdin.take();
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let line = line_of(&mut stdout);
        let mut words = line.split_whitespace();
        let mut word = || words.next().expect("port, process and folder").to_owned();
        Self {
            child,
            stdin,
            stdout: Mutex::new(stdout),
            port: word().parse().expect("a port"),
            pid: AtomicU32::new(word().parse().expect("a process id")),
            folder: word().into(),
            databases: AtomicU32::new(0),
        }
    }

    /// One that the tests of a process share: who ends it takes one of their own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A new database.
    pub fn database(&self) -> Database<'_> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test{number}");
        self.run(
            "psql",
            &[
                "--quiet",
                "--dbname",
                "postgres",
                "--command",
                &format!("CREATE DATABASE {name}"),
            ],
        );
        Database { server: self, name }
    }

    /// The file of the user's password.
    pub fn password_file(&self) -> PathBuf {
        self.folder.join("password")
    }

    /// The certificate of the authority that vouches for the server's.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it at once, as a crash does.
    pub fn crash(&self) {
        signal(self.pid.load(Ordering::SeqCst), "QUIT");
        let gone = || {
            !std::path::Path::new(&format!(
                "/proc/{}/cmdline",
                self.pid.load(Ordering::SeqCst)
            ))
            .exists()
                || std::fs::read(format!("/proc/{}/cmdline", self.pid.load(Ordering::SeqCst)))
                    .is_ok_and(|line| line.is_empty())
        };
        let begun = std::time::Instant::now();
        while !gone() {
            assert!(
                begun.elapsed() < crate::process::PATIENCE,
                "the server does not end"
            );
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// Starts it again after a crash.
    pub fn restart(&self) {
        let mut stdout = self.stdout.lock().expect("nobody panics in here");
        let stdin = self.stdin.as_ref().expect("it is held");
        (&*stdin).write_all(b"start\n").expect("server.sh listens");
        let pid = line_of(&mut stdout).trim().parse();
        self.pid.store(pid.expect("a process id"), Ordering::SeqCst);
    }

    /// Sends a signal by name to the server and all that it has started, such as
    /// `STOP` and `CONT`.
    pub fn signal_all(&self, name: &str) {
        let pid = self.pid.load(Ordering::SeqCst);
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        for child in children.expect("a running server").split_whitespace() {
            // One may end meanwhile.
            let _ = Command::new("kill")
                .args([&format!("-{name}"), child])
                .status();
        }
        signal(pid, name);
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let run = self.command(program).args(arguments).output();
        let run = run.expect("PostgreSQL's programs run");
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{program} {arguments:?}: {said}");
        String::from_utf8(run.stdout).expect("text")
    }

    /// Runs lines of a shell in a folder, with PostgreSQL's programs at hand, which
    /// know the server; gives what they print.
    ///
    /// # Panics
    /// If they fail; what they said is in the message.
    pub fn sh(&self, folder: &Path, lines: &str) -> String {
        crate::pages::shell(self.known_to("bash".as_ref()), folder, programs(), lines)
    }

    fn command(&self, program: &str) -> Command {
        self.known_to(&programs().join(program))
    }

    fn known_to(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("PGHOST", &self.folder)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", "mailtrail");
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

impl Database<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its URL, without a password.
    pub fn url(&self) -> String {
        format!(
            "postgres://mailtrail@127.0.0.1:{}/{}",
            self.server.port, self.name
        )
    }

    /// The same database on another server, a standby of its own.
    pub fn on<'b>(&self, server: &'b Postgres) -> Database<'b> {
        Database {
            server,
            name: self.name.clone(),
        }
    }

    /// The same data plane, with this database.
    pub fn behind(&self, flags: Flags) -> Flags {
        self.reached_by(self.url(), flags)
    }

    /// The same data plane, with this database, wherever of two servers it can
    /// be written to.
    pub fn here_or_on(&self, other: &Postgres, flags: Flags) -> Flags {
        let (here, there) = (self.server.port, other.port);
        let hosts = format!("127.0.0.1:{here},127.0.0.1:{there}");
        self.reached_by(format!("postgres://mailtrail@{hosts}/{}", self.name), flags)
    }

    fn reached_by(&self, url: String, flags: Flags) -> Flags {
        let password = self.server.password_file();
        flags
            .with("--postgres", url)
            .with("--postgres-password", password.to_string_lossy())
    }

    /// Runs SQL; gives its rows, fields separated by `|`.
    pub fn sql(&self, sql: &str) -> String {
        let run = [
            "--quiet",
            "--no-align",
            "--tuples-only",
            "--set",
            "ON_ERROR_STOP=1",
        ];
        let arguments = [&run[..], &["--dbname", &self.name, "--command", sql]].concat();
        self.server.run("psql", &arguments).trim_end().to_owned()
    }

    /// One number.
    pub fn number(&self, sql: &str) -> i64 {
        let said = self.sql(sql);
        said.parse().unwrap_or_else(|_| panic!("{sql}: {said}"))
    }

    /// All that `pg_dump` finds.
    pub fn dump(&self) -> String {
        self.server.run("pg_dump", &["--dbname", &self.name])
    }

    /// The folder of the server's own files for it.
    pub fn files(&self) -> PathBuf {
        let oid = self.number("SELECT oid FROM pg_database WHERE datname = current_database()");
        self.server.folder.join(format!("data/base/{oid}"))
    }

    /// Opens a session.
    pub fn session(&self) -> Session {
        let mut child = self
            .server
            .command("psql")
            .args([
                "--quiet",
                "--no-align",
                "--tuples-only",
                "--dbname",
                &self.name,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("psql starts");
        Session {
            stdin: child.stdin.take().expect("stdin is piped"),
            stdout: BufReader::new(child.stdout.take().expect("stdout is piped")),
            child,
        }
    }
}

impl Session {
    /// Runs SQL and waits until it is done.
    pub fn run(&mut self, sql: &str) {
        const DONE: &str = "done, done";
        let command = format!("{sql};\n\\echo {DONE}\n");
        self.stdin
            .write_all(command.as_bytes())
            .expect("psql listens");
        while line_of(&mut self.stdout).trim() != DONE {}
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line_of(from: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    let read = from.read_line(&mut line).expect("it can be read");
    assert!(read > 0, "it ended; what it says is above");
    line
}

/// The folder of PostgreSQL's programs.
fn programs() -> &'static PathBuf {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let asked = Command::new(crate::root().join("tests/postgres/programs.sh")).output();
        let said = asked.expect("programs.sh runs").stdout;
        String::from_utf8(said).expect("text").trim().into()
    })
}
