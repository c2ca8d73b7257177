//! The programs of the page on the API do what they say, in every language,
//! against a running data plane.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;

use mailtrail_tests::{Flags, Program, built, root};
use serde_json::Value;

const DOMAIN: &str = "demo/links";
const TOKEN: &str = "a-token-of-sixteen-and-more";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const MAIL: &str = "<p>Grüße, <a href=\"https://shop.example/offer?a=1&amp;b=2\">look</a></p>";

/// How a program of each language is run: `rewrite`, `events` or `webhook`.
type Run = fn(&str) -> Command;
const LANGUAGES: [(&str, Run); 5] = [
    ("sh", shell),
    ("python", python),
    ("node", node),
    ("go", go),
    ("rust", rust),
];

// === How each is run ===

fn api() -> PathBuf {
    root().join("examples/api")
}

/// A folder of the user's cache with what a language needs, made by the project's
/// own script.
fn tool(script: &str, name: &str, of: &str) -> PathBuf {
    let mut command = Command::new(root().join("tests/tools").join(script));
    let output = command.arg(name).arg(root().join(of)).output();
    let output = output.expect("a script starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} {name}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().into()
}

fn shell(name: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg(api().join(format!("{name}.sh")));
    command
}

fn python(name: &str) -> Command {
    static PYTHON: LazyLock<PathBuf> = LazyLock::new(|| {
        let requirements = "tests/webhooks/requirements.txt";
        tool("python-tool.sh", "webhooks-python", requirements).join("python")
    });
    let mut command = Command::new(&*PYTHON);
    command.arg(api().join(format!("{name}.py")));
    command
}

/// Packages are looked for above the file, so it is put where they are.
fn node(name: &str) -> Command {
    static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
        let packages = tool("node-tool.sh", "webhooks-node", "tests/webhooks");
        let folder = tempfile::tempdir_in(packages).expect("a folder");
        for name in ["rewrite.mjs", "events.mjs", "webhook.mjs"] {
            fs::copy(api().join(name), folder.path().join(name)).expect("copied");
        }
        folder
    });
    let mut command = Command::new("node");
    command.arg(FOLDER.path().join(format!("{name}.mjs")));
    command
}

fn go(name: &str) -> Command {
    static BUILT: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
        let built = tempfile::tempdir().expect("a folder");
        let output = Command::new("go")
            .args(["build", "-mod=readonly", "-o"])
            .arg(built.path())
            .arg("./...")
            .current_dir(api().join("go"))
            .env("CGO_ENABLED", "0")
            .output()
            .expect("go starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        built
    });
    Command::new(BUILT.path().join(name))
}

/// `make test` has built them.
fn rust(name: &str) -> Command {
    Command::new(built(&format!("api-{name}")))
}

/// Runs a program to its end.
fn run(mut command: Command, input: &str) -> Output {
    let pipes = [Stdio::piped(), Stdio::piped(), Stdio::piped()];
    let [stdin, stdout, stderr] = pipes;
    let command = command.stdin(stdin).stdout(stdout).stderr(stderr);
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

// === A data plane ===

struct World {
    folder: tempfile::TempDir,
    program: Program,
}

impl World {
    /// With a sink of the shop's that posts to this port.
    fn new(sink_port: u16) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("manifests")).expect("a folder");
        fs::create_dir_all(path("secrets/demo")).expect("a folder");
        let domain = root().join("examples/manifests/trackingdomain.yaml");
        fs::copy(domain, path("manifests/domain.yaml")).expect("copied");
        let sink = format!(
            "apiVersion: mailtrail.dev/v1alpha1\nkind: EventSink\nmetadata: {{name: sink, namespace: demo}}\nspec:\n  url: http://127.0.0.1:{sink_port}/\n  secretRefs: [{{name: secret}}]\n"
        );
        fs::write(path("manifests/sink.yaml"), sink).expect("written");
        fs::write(path("secrets/demo/secret"), format!("{SECRET}\n")).expect("written");
        fs::write(path("token"), format!("{TOKEN}\n")).expect("written");
        let program = Flags::new(path("manifests"), path("data"))
            .with("--api-tokens", path("token").to_string_lossy())
            .with("--sink-secrets", path("secrets").to_string_lossy())
            .with("--sinks-allow", "127.0.0.0/8")
            .start();
        Self { folder, program }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn api(&self) -> String {
        format!("http://{}", self.program.api())
    }

    fn rewrite(&self, run_it: Run, domain: &str, message: &str) -> Output {
        let mut command = run_it("rewrite");
        command.args([
            &self.api(),
            &self.path("token"),
            domain,
            message,
            "eva@example.org",
        ]);
        run(command, MAIL)
    }

    /// Runs `events`; gives what it printed.
    fn events(&self, language: &str, run_it: Run) -> Vec<Value> {
        let cursor = self.path(&format!("cursor-{language}"));
        let mut command = run_it("events");
        command.args([&self.api(), &self.path("token"), DOMAIN, &cursor]);
        let output = run(command, "");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{language}: {said}");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = printed
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"));
        // curl prints pages.
        let events = |line: Value| match line["events"].as_array() {
            Some(events) => events.clone(),
            None => vec![line],
        };
        lines.flat_map(events).collect()
    }
}

/// A link in the rewritten mail.
fn link_in(html: &str) -> Option<&str> {
    let at = html.find("http://links.localhost")?;
    html[at..].split('"').next()
}

// === Tests ===

#[test]
fn in_every_language_a_mail_is_rewritten_and_goes_out_untracked_where_it_cannot_be() {
    let world = World::new(9);
    for (language, run_it) in LANGUAGES {
        let output = world.rewrite(run_it, DOMAIN, language);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.is_empty(),
            "{language}: {said}"
        );
        let html = String::from_utf8(output.stdout).expect("text");
        let link = link_in(&html).unwrap_or_else(|| panic!("{language}: {html}"));
        let answer = world.program.follow(link);
        let target = answer.header("location");
        assert_eq!(
            target,
            Some("https://shop.example/offer?a=1&b=2"),
            "{language}"
        );
        assert!(html.contains("Grüße"), "{language}: {html}");

        let output = world.rewrite(run_it, "demo/unknown", language);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("There is no such tracking domain"),
            "{language}: {said}"
        );
        assert!(
            output.status.success() && output.stdout == MAIL.as_bytes(),
            "{language}"
        );
    }
    let events = world_events(&world, LANGUAGES.len());
    let messages: Vec<_> = events.iter().map(|e| e["message_id"].as_str()).collect();
    assert_eq!(messages, LANGUAGES.map(|(language, _)| Some(language)));
}

/// All events, by the API, once there are so many.
fn world_events(world: &World, count: usize) -> Vec<Value> {
    let path = format!("/v1/domains/{DOMAIN}/events");
    let mut events = Vec::new();
    world.program.until("events are settled", |program| {
        let page = program.get_as(TOKEN, &path).json();
        events = page["events"].as_array().expect("a list").clone();
        events.len() >= count
    });
    events
}

#[test]
fn in_every_language_events_are_read_once_each_and_from_where_one_was() {
    let world = World::new(9);
    let html = world.rewrite(rust, DOMAIN, "m-1").stdout;
    let html = String::from_utf8(html).expect("text");
    let link = link_in(&html).expect("tracked");
    world.program.follow(link);
    let first = world_events(&world, 1);
    for (language, run_it) in LANGUAGES {
        assert_eq!(world.events(language, run_it), first, "{language}");
        assert_eq!(
            world.events(language, run_it),
            [] as [Value; 0],
            "{language}"
        );
    }
    world.program.follow(link);
    let both = world_events(&world, 2);
    for (language, run_it) in LANGUAGES {
        assert_eq!(world.events(language, run_it), both[1..], "{language}");
    }
}

/// A receiver that runs; ended when dropped.
struct Receiver(Child);

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that nobody has.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Starts `webhook` and waits until it listens.
fn receiver(run_it: Run, port: u16, secret: &Path) -> Receiver {
    let mut command = run_it("webhook");
    command.arg(port.to_string()).arg(secret);
    let child = command.stdout(Stdio::piped()).spawn();
    let mut receiver = Receiver(child.unwrap_or_else(|error| panic!("{command:?}: {error}")));
    let begun = std::time::Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        let ended = receiver.0.try_wait().expect("a child can be asked");
        let waited = begun.elapsed();
        assert!(ended.is_none() && waited.as_secs() < 30, "{command:?}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    receiver
}

#[test]
fn in_every_language_webhooks_are_taken_that_are_signed_and_no_others() {
    for (language, run_it) in LANGUAGES.into_iter().skip(1) {
        let port = free_port();
        let world = World::new(port);
        let secret = world.folder.path().join("secrets/demo/secret");
        let mut receiver = receiver(run_it, port, &secret);
        let forged = ureq::post(format!("http://127.0.0.1:{port}/"))
            .config()
            .http_status_as_error(false)
            .build()
            .header("webhook-id", "e-1")
            .header("webhook-timestamp", now().to_string())
            .header(
                "webhook-signature",
                "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            )
            .send("{\"type\": \"message.clicked\"}")
            .expect("an answer");
        assert_eq!(forged.status(), 401, "{language}");

        let html = world.rewrite(rust, DOMAIN, language).stdout;
        let html = String::from_utf8(html).expect("text");
        world.program.follow(link_in(&html).expect("tracked"));
        let stdout = receiver.0.stdout.take().expect("piped");
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("it prints");
        let event: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(event["type"], "message.clicked", "{language}: {line}");
        assert_eq!(event["data"]["message_id"], language);
        let delivered = "mailtrail_sinks_deliveries_total{outcome=\"delivered\"} 1";
        world.program.until("it is taken", |program| {
            let metrics = program.get(program.admin(), "/metrics").text();
            metrics.lines().any(|line| line == delivered)
        });
    }
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}
