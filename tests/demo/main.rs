//! `make demo` and `make run`: tracks a real mail on this machine, showing
//! every command it uses.
//!
//! `demo` submits the mail to two readers: one opens and clicks it, of the other
//! a mail gateway follows the links before delivery. It tells the events with
//! their verdicts and what became of the mail, and ends. `demo --stay` leaves the data plane running, with
//! the rewritten mail in a file for a browser, and tells events as they come.

#![expect(
    clippy::print_stdout,
    reason = "talking to a person is this program's job"
)]

mod dataplane;
mod log;
mod tell;

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use dataplane::{API, Dataplane};

/// Data, the request and the rewritten mail of the demo, below the checkout.
const FOLDER: &str = ".demo";
/// The namespace and name in `examples/manifests`.
const DOMAIN: &str = "demo/links";
/// The mail's id, the same for both of its readers.
const MESSAGE: &str = "newsletter-2026-11";
/// Who opens and clicks.
const READER: &str = "ada@example.org";
/// Whose mail gateway does.
const SCANNED_READER: &str = "bob@example.org";
/// Links that the gateway follows; three different ones are a burst.
const SCANNED_LINKS: usize = 4;
/// Longest wait for the events.
const SETTLED_WITHIN: Duration = Duration::from_secs(20);
/// What a desktop mail client says it is.
const MAIL_CLIENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.2.0";
/// What the browser says that it opens links in.
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
/// What a gateway says that wants to be taken for a browser.
const GATEWAY: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // In words: a backtrace would tell a reader of the demo nothing.
            tell::failed(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    std::env::set_current_dir(mailtrail_tests::root()).context("the checkout's folder")?;
    let stay = std::env::args().skip(1).any(|arg| arg == "--stay");
    std::fs::create_dir_all(FOLDER).context(FOLDER)?;
    let mut running = Dataplane::start(Path::new(FOLDER))?;
    tell::begin();
    let before = events(None)?;
    tell::found(before.list.len());

    let report = submit(READER, "mail.html")?;
    tell::report(&report);
    if stay {
        tell::stay(FOLDER, running.log().path());
        return follow_events(running, before.next);
    }
    let hits = open_and_click(&report)? + scan()?;

    tell::heading("Who did what, as far as can be said at once");
    tell::events(&page(&curl(&[&provisional_url(&before.next)])?)?.list);
    tell::heading("The same once the verdicts are settled, here after a second: time shows bursts");
    wait_until_settled(&before.next, hits)?;
    let after = events(Some(&before.next))?;
    tell::events(&after.list);
    ensure!(
        after.list.len() == hits,
        "{hits} events were expected, not {}",
        after.list.len()
    );
    tell::heading("What became of the mail, over all runs: people and machines apart");
    tell::summary(&summary()?);
    running.stop()?;
    tell::next(FOLDER);
    Ok(())
}

/// Hands the mail in and keeps what comes back.
fn submit(recipient: &str, kept_as: &str) -> Result<Value> {
    tell::heading(&format!("Submit a mail to {recipient}"));
    let html = std::fs::read_to_string("examples/mail.html").context("examples/mail.html")?;
    let request = json!({
        "domain": "links.localhost",
        "message_id": MESSAGE,
        "recipient": recipient,
        "html": html,
    });
    std::fs::write(
        format!("{FOLDER}/request.json"),
        serde_json::to_string_pretty(&request)?,
    )?;
    let answer = curl(&[
        &format!("http://{API}/v1/rewrite"),
        "--header",
        "Content-Type: application/json",
        "--data",
        &format!("@{FOLDER}/request.json"),
    ])?;
    let answer: Value = serde_json::from_str(&answer).with_context(|| answer.clone())?;
    let Some(rewritten) = answer["html"].as_str() else {
        bail!("the mail was refused: {answer}")
    };
    std::fs::write(format!("{FOLDER}/{kept_as}"), rewritten)?;
    Ok(answer["report"].clone())
}

/// Does what a reader does; gives how many hits that was.
fn open_and_click(report: &Value) -> Result<usize> {
    tell::heading("Ada opens it: her mail client loads the pixel");
    let said = follow(
        pixel(report)?,
        MAIL_CLIENT,
        "  %{http_code} %{content_type}, %{size_download} bytes",
    )?;
    println!("{said}");

    tell::heading("Ada clicks a link");
    let link = tracked(report).next().context("a link is tracked")?;
    let url = link["url"].as_str().context("a tracked link has a URL")?;
    let said = follow(url, BROWSER, "  %{http_code} to %{redirect_url}")?;
    println!("{said}");
    let target = link["target"].as_str().unwrap_or_default();
    ensure!(
        said.trim_end().ends_with(target),
        "the link was expected to lead to {target}"
    );
    Ok(2)
}

/// Does what a mail gateway does that follows links before it delivers; gives
/// how many hits that was.
fn scan() -> Result<usize> {
    let report = submit(SCANNED_READER, "mail-bob.html")?;
    let mut targets = HashSet::new();
    let different = tracked(&report).filter(|link| targets.insert(link["target"].as_str()));
    let links = different.filter_map(|link| link["url"].as_str());
    let mut urls = vec![pixel(&report)?];
    urls.extend(links.take(SCANNED_LINKS));
    tell::heading("Bob's mail gateway, before it delivers: the pixel and some links in a moment");
    for url in &urls {
        println!("{}", follow(url, GATEWAY, "  %{http_code}")?);
    }
    Ok(urls.len())
}

fn pixel(report: &Value) -> Result<&str> {
    report["pixel"]["url"]
        .as_str()
        .context("the mail has a pixel")
}

fn tracked(report: &Value) -> impl Iterator<Item = &Value> {
    let links = report["links"].as_array().into_iter().flatten();
    links.filter(|link| link["tracked"] == true)
}

/// Asks for a URL as this program would; gives what curl writes of the answer.
fn follow(url: &str, user_agent: &str, write: &str) -> Result<String> {
    curl(&[
        url,
        "--user-agent",
        user_agent,
        "--output",
        "/dev/null",
        "--write-out",
        write,
    ])
}

/// Waits until so many events are listed.
fn wait_until_settled(from: &str, hits: usize) -> Result<()> {
    let begun = Instant::now();
    while quiet_events(Some(from))?.list.len() < hits {
        ensure!(
            begun.elapsed() < SETTLED_WITHIN,
            "the events are not listed after {SETTLED_WITHIN:?}; nothing is recorded of a reader who \
             was erased or has withdrawn: if that was one of the demo's, `make clean-demo` begins anew"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Opens and clicks of the mail, over all its readers.
fn summary() -> Result<Value> {
    let answer = curl(&[&format!(
        "http://{API}/v1/domains/{DOMAIN}/messages/{MESSAGE}"
    )])?;
    serde_json::from_str(&answer).with_context(|| answer.clone())
}

/// Tells events as they come, and what the log warns of, until the data plane
/// ends (Ctrl-C reaches both).
fn follow_events(mut running: Dataplane, mut from: String) -> Result<()> {
    while running.runs()? {
        if let Ok(page) = quiet_events(Some(&from)) {
            tell::events(&page.list);
            from = page.next;
        }
        tell::log(&running.log().news()?);
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

/// A page of events.
struct Page {
    list: Vec<Value>,
    next: String,
}

fn events(after: Option<&str>) -> Result<Page> {
    page(&curl(&[&events_url(after)])?)
}

fn quiet_events(after: Option<&str>) -> Result<Page> {
    page(&run_curl(&[&events_url(after)])?)
}

fn events_url(after: Option<&str>) -> String {
    let after = after
        .map(|cursor| format!("&after={cursor}"))
        .unwrap_or_default();
    format!("http://{API}/v1/domains/{DOMAIN}/events?limit=1000{after}")
}

fn provisional_url(after: &str) -> String {
    format!("{}&provisional=true", events_url(Some(after)))
}

fn page(answer: &str) -> Result<Page> {
    let answer: Value = serde_json::from_str(answer).with_context(|| answer.to_owned())?;
    let list = answer["events"]
        .as_array()
        .with_context(|| format!("no events: {answer}"))?
        .clone();
    let next = answer["next"]
        .as_str()
        .context("a cursor is always given")?
        .to_owned();
    Ok(Page { list, next })
}

/// Shows a curl line, runs it, gives what it printed.
fn curl(arguments: &[&str]) -> Result<String> {
    tell::command(arguments);
    run_curl(arguments)
}

fn run_curl(arguments: &[&str]) -> Result<String> {
    let output = Command::new("curl")
        .args(["--silent", "--show-error"])
        .args(arguments)
        .output()
        .context("curl is needed to show what a mail client does (Debian: apt-get install curl)")?;
    ensure!(
        output.status.success(),
        "curl: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}
