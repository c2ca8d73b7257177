//! `make demo` and `make run`: tracks a real mail on this machine, showing
//! every command it uses.
//!
//! `demo` submits the mail, opens and clicks it as a mail client would, tells
//! the events, and ends. `demo --stay` leaves the data plane running, with
//! the rewritten mail in a file for a browser, and tells events as they come.

#![expect(
    clippy::print_stdout,
    reason = "talking to a person is this program's job"
)]

mod dataplane;
mod tell;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use dataplane::{API, Dataplane};

/// Data, the request and the rewritten mail of the demo, below the checkout.
const FOLDER: &str = ".demo";
/// The namespace and name in `examples/manifests`.
const DOMAIN: &str = "demo/links";
/// Longest wait for the events.
const SETTLED_WITHIN: Duration = Duration::from_secs(20);
/// What a desktop mail client says it is.
const MAIL_CLIENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.2.0";

fn main() -> Result<()> {
    std::env::set_current_dir(mailtrail_tests::root()).context("the checkout's folder")?;
    let stay = std::env::args().skip(1).any(|arg| arg == "--stay");
    std::fs::create_dir_all(FOLDER).context(FOLDER)?;
    let running = Dataplane::start(Path::new(FOLDER), stay)?;
    let before = events(None)?;
    tell::begin(before.list.len());

    let report = submit()?;
    if stay {
        tell::stay(FOLDER);
        return follow_events(running, before.next);
    }
    let pixel = report["pixel"]["url"]
        .as_str()
        .context("the mail has a pixel")?;
    let links = report["links"].as_array().context("the mail has links")?;
    let link = links
        .iter()
        .find(|l| l["tracked"] == true)
        .context("a link is tracked")?;
    open_and_click(pixel, link)?;

    tell::heading("Who did what: listed once their verdict is settled, here after a second");
    wait_until_settled(&before.next)?;
    let after = events(Some(&before.next))?;
    tell::events(&after.list);
    ensure!(
        after.list.len() == 2,
        "one open and one click were expected, not {}",
        after.list.len()
    );
    running.stop()?;
    tell::next(FOLDER);
    Ok(())
}

/// Hands the mail in and keeps what comes back.
fn submit() -> Result<Value> {
    tell::heading("Submit a mail");
    let html = std::fs::read_to_string("examples/mail.html").context("examples/mail.html")?;
    let request = json!({
        "domain": "links.localhost",
        "message_id": "newsletter-2026-11/ada",
        "recipient": "ada@example.org",
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
    std::fs::write(format!("{FOLDER}/mail.html"), rewritten)?;
    tell::report(&answer["report"]);
    Ok(answer["report"].clone())
}

fn open_and_click(pixel: &str, link: &Value) -> Result<()> {
    tell::heading("The reader opens it: the mail client loads the pixel");
    let write = "  %{http_code} %{content_type}, %{size_download} bytes";
    curl(&[
        pixel,
        "--user-agent",
        MAIL_CLIENT,
        "--output",
        "/dev/null",
        "--write-out",
        write,
    ])
    .map(|said| println!("{said}"))?;

    tell::heading("The reader clicks a link");
    let url = link["url"].as_str().context("a tracked link has a URL")?;
    let said = curl(&[
        url,
        "--user-agent",
        MAIL_CLIENT,
        "--output",
        "/dev/null",
        "--write-out",
        "  %{http_code} to %{redirect_url}",
    ])?;
    println!("{said}");
    let target = link["target"].as_str().unwrap_or_default();
    ensure!(
        said.trim_end().ends_with(target),
        "the link was expected to lead to {target}"
    );
    Ok(())
}

/// Waits until the open and the click are listed.
fn wait_until_settled(from: &str) -> Result<()> {
    let begun = Instant::now();
    while quiet_events(Some(from))?.list.len() < 2 {
        ensure!(
            begun.elapsed() < SETTLED_WITHIN,
            "the events are not listed after {SETTLED_WITHIN:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Tells events as they come, until the data plane ends (Ctrl-C reaches both).
fn follow_events(mut running: Dataplane, mut from: String) -> Result<()> {
    while running.runs()? {
        if let Ok(page) = quiet_events(Some(&from)) {
            tell::events(&page.list);
            from = page.next;
        }
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
