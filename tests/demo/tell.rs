//! What the demo says, in plain words.

use std::path::Path;

use serde_json::Value;

use crate::dataplane::{API, PUBLIC};

/// The line that starts the data plane, as one would type it from the checkout.
pub(crate) fn started(program: &Path, flags: &[&str]) {
    heading("Start the data plane");
    let program = program.strip_prefix(mailtrail_tests::root());
    let program = program.map_or("mailtrail-dataplane".into(), Path::to_string_lossy);
    // The one setting that the demo takes from outside.
    let rules = std::env::var("MAILTRAIL_RULES");
    let rules = rules.map_or(String::new(), |file| format!("MAILTRAIL_RULES={file} "));
    println!("$ {rules}{program} {}", flags.join(" "));
}

pub(crate) fn begin() {
    println!("\nIt runs: pixels and links on {PUBLIC}, the API on {API}.");
}

pub(crate) fn found(kept: usize) {
    match kept {
        0 => println!("It has no events yet."),
        1 => println!("It found the 1 event of earlier runs again."),
        more => println!("It found the {more} events of earlier runs again."),
    }
}

/// Addresses that other programs have, and how to find those.
pub(crate) fn taken(addresses: &[&str]) -> String {
    let ports: Vec<_> = addresses
        .iter()
        .map(|address| address.rsplit(':').next().unwrap_or(address))
        .collect();
    let filter: Vec<_> = ports
        .iter()
        .map(|port| format!("sport = :{port}"))
        .collect();
    format!(
        "{} taken ({}), by another program or an earlier `make run`.\n\
         Which one:  ss -ltnp '{}'\n\
         End that one (an earlier `make run` with Ctrl-C) and try again.",
        match ports[..] {
            [port] => format!("port {port} is"),
            _ => format!("ports {} are", ports.join(" and ")),
        },
        addresses.join(", "),
        filter.join(" or ")
    )
}

/// What the data plane's log has to tell.
pub(crate) fn log(lines: &[String]) {
    for line in lines {
        println!("{line}");
    }
}

#[expect(clippy::print_stderr, reason = "the last word, where errors go")]
pub(crate) fn failed(why: &str) {
    eprintln!("\ndemo: {why}");
}

pub(crate) fn heading(text: &str) {
    println!("\n== {text}");
}

/// A curl line as one would type it.
pub(crate) fn command(arguments: &[&str]) {
    let typed: Vec<_> = arguments.iter().map(|a| quoted(a)).collect();
    println!("$ curl --silent --show-error {}", typed.join(" "));
}

fn quoted(argument: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:@,=".contains(&b);
    if argument.bytes().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\n', "\\n"))
    }
}

pub(crate) fn report(report: &Value) {
    println!();
    for link in report["links"].as_array().into_iter().flatten() {
        let what = match link["reason"].as_str() {
            None => "tracked".to_owned(),
            Some(reason) => format!("left ({reason})"),
        };
        let target = link["target"].as_str().unwrap_or_default();
        println!(
            "  link {:>2}  {what:<20} {target}",
            link["position"].to_string()
        );
    }
    let pixel = match report["pixel"]["placed"].as_bool() {
        Some(true) => "placed".to_owned(),
        _ => format!("not placed ({})", report["pixel"]["reason"]),
    };
    println!("  pixel    {pixel}");
    for warning in report["warnings"].as_array().into_iter().flatten() {
        println!(
            "  warning  {}: {}",
            warning["code"].as_str().unwrap_or_default(),
            warning["detail"]
        );
    }
}

/// One line an event: who did what, when, and with what.
pub(crate) fn events(events: &[Value]) {
    for event in events {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let who = event["recipient"].as_str().unwrap_or("somebody").to_owned();
        let did = match event["type"].as_str() {
            Some("clicked") => {
                let link = &event["link"];
                format!(
                    "clicked link {} to {}",
                    link["position"],
                    link["target"].as_str().unwrap_or_default()
                )
            }
            _ => "opened the mail".to_owned(),
        };
        let client = ["family", "os"].map(|part| {
            event["client"][part]
                .as_str()
                .unwrap_or("unknown")
                .to_owned()
        });
        println!(
            "  {}  {who} {did}\n     {}{}; with {} on {}",
            text("time"),
            judged(&event["client"]),
            match event["settled"] == false {
                true => ", not settled yet",
                false => "",
            },
            client[0],
            client[1]
        );
    }
}

/// A verdict and the rules that said so.
fn judged(client: &Value) -> String {
    let verdict = client["verdict"].as_str().unwrap_or_default();
    let rules = client["rules"].as_array().into_iter().flatten();
    let rules: Vec<_> = rules.filter_map(Value::as_str).collect();
    match rules[..] {
        [] => verdict.to_owned(),
        _ => format!("{verdict} ({})", rules.join(", ")),
    }
}

/// Opens and clicks of a mail; of each link that was clicked; of each reader.
pub(crate) fn summary(summary: &Value) {
    println!();
    println!("  opened   {}", hits(&summary["opens"]));
    println!("  clicked  {}", hits(&summary["clicks"]));
    for link in summary["links"].as_array().into_iter().flatten() {
        if link["clicks"]["total"] != 0 {
            let target = link["target"].as_str().unwrap_or_default();
            println!(
                "  link {:>3} clicked {}: {target}",
                link["position"].to_string(),
                hits(&link["clicks"])
            );
        }
    }
    for reader in summary["recipients"].as_array().into_iter().flatten() {
        println!(
            "  {} opened {}; clicked {}",
            reader["recipient"].as_str().unwrap_or("somebody"),
            hits(&reader["opens"]),
            hits(&reader["clicks"])
        );
    }
}

/// How often, by whom; those who did not are left out.
fn hits(totals: &Value) -> String {
    let by = [
        ("people", "by people"),
        ("machines", "by machines"),
        ("unknown", "unknown"),
    ];
    let some = by.iter().filter(|(name, _)| totals[name] != 0);
    let said: Vec<_> = some
        .map(|(name, by)| format!("{} {by}", totals[name]))
        .collect();
    match said[..] {
        [] => "by nobody".to_owned(),
        _ => said.join(", "),
    }
}

pub(crate) fn stay(folder: &str, log: &Path) {
    let folder = mailtrail_tests::root().join(folder);
    println!(
        "\nThe rewritten mail: open it in a browser on this machine, click, and see the events here."
    );
    println!("  file://{}/mail.html", folder.display());
    println!("What can be asked: http://{API}/docs    Ctrl-C ends.");
    println!(
        "The log is {}: what it warns of, such as a mistake in a manifest, is told here, too.\n",
        log.display()
    );
}

pub(crate) fn next(folder: &str) {
    println!("\n== What to try next");
    println!(
        "  make run                 leaves the data plane running: open {folder}/mail.html in a browser and click"
    );
    println!("  The curl lines above then work as they stand. With a mail of your own:");
    println!(
        "    curl --silent --show-error http://{API}/v1/rewrite --header 'Content-Type: text/html' \\"
    );
    println!(
        "      --header 'Mailtrail-Domain: links.localhost' --header 'Mailtrail-Message-Id: my-1' \\"
    );
    println!(
        "      --header 'Mailtrail-Recipient: eva@example.org' --data-binary @my-mail.html > tracked.html"
    );
    println!("  http://{API}/docs    every operation, with examples");
    println!("  make demo again finds these events: they are on disk, in {folder}/data");
    println!("  make clean-demo forgets them");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_told_with_how_to_find_who_has_it() {
        let told = taken(&["127.0.0.1:8081", "127.0.0.1:9090"]);
        assert!(told.starts_with("ports 8081 and 9090 are taken (127.0.0.1:8081, "));
        assert!(told.contains("ss -ltnp 'sport = :8081 or sport = :9090'"));
    }
}
