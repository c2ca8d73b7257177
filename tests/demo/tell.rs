//! What the demo says, in plain words.

use serde_json::Value;

use crate::dataplane::{API, PUBLIC};

pub(crate) fn begin(kept: usize) {
    println!("\nThe data plane runs: pixels and links on {PUBLIC}, the API on {API}.");
    match kept {
        0 => println!("It has no events yet."),
        1 => println!("It found the 1 event of earlier runs again."),
        more => println!("It found the {more} events of earlier runs again."),
    }
}

pub(crate) fn started(flags: &[&str], folder: &std::path::Path) {
    println!(
        "\n$ mailtrail-dataplane {} --data-dir {}/data",
        flags.join(" "),
        folder.display()
    );
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

pub(crate) fn stay(folder: &str) {
    let folder = mailtrail_tests::root().join(folder);
    println!(
        "\nThe rewritten mail: open it in a browser on this machine, click, and see the events here."
    );
    println!("  file://{}/mail.html", folder.display());
    println!("What can be asked: http://{API}/docs    Ctrl-C ends.\n");
}

pub(crate) fn next(folder: &str) {
    println!("\n== What to try next");
    println!(
        "  make run                 leaves the data plane running: open {folder}/mail.html in a browser and click"
    );
    println!("  The curl lines above then work as they stand. With a mail of your own:");
    println!("    curl --silent http://{API}/v1/rewrite --header 'Content-Type: text/html' \\");
    println!(
        "      --header 'Mailtrail-Domain: links.localhost' --header 'Mailtrail-Message-Id: my-1' \\"
    );
    println!("      --data-binary @my-mail.html > tracked.html");
    println!("  http://{API}/docs    every operation, with examples");
    println!("  make demo again finds these events: they are on disk, in {folder}/data");
}
