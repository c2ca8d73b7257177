//! Receivers that are built with the published libraries take what is
//! delivered, and refuse what is changed.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mailtrail_tests::{Receiver, root};
use serde_json::{Value, json};

use crate::sinks::{self, SECRET};

/// A second secret of a sink that is rotating.
const NEW_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Runs a script of the project's, which must succeed; gives what it printed.
fn run(command: &mut Command, input: &str) -> String {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{command:?}:\n{out}\n{err}");
    out.trim().to_owned()
}

fn installed(tool: &str, name: &str, of: &str) -> PathBuf {
    let tool = root().join("tests/tools").join(tool);
    let of = root().join("tests/webhooks").join(of);
    run(Command::new(tool).arg(name).arg(of), "").into()
}

/// What each format's receiver got.
fn deliveries() -> Vec<Value> {
    let formats = ["StandardWebhooks", "CloudEvents", "Resend"];
    let receivers = formats.map(|_| Receiver::start());
    let batched = [Receiver::start(), Receiver::start()];
    let world = sinks::Folder::new();
    world.secret("new", NEW_SECRET);
    let secrets = "[{name: new}, {name: key}]";
    for (format, receiver) in formats.iter().zip(&receivers) {
        world.sink(
            &format.to_lowercase(),
            &receiver.url(),
            &format!("  format: {format}\n  secretRefs: {secrets}\n"),
        );
    }
    for (format, receiver) in formats.iter().zip(&batched) {
        let more =
            format!("  format: {format}\n  batching: {{enabled: true}}\n  secretRefs: {secrets}\n");
        world.sink(
            &format!("{}-batch", format.to_lowercase()),
            &receiver.url(),
            &more,
        );
    }
    let program = world.start();
    let mail = json!({
        "domain": "shop/links", "message_id": "m-1", "recipient": "ada@example.org",
        "from": "Shop <shop@shop.example>", "to": "Ada <ada@example.org>", "subject": "Grüße \u{1f984}",
        "tags": {"kind": "news"},
        "html": "<p><a href=\"https://shop.example/offer?a=b\">Look</a></p>",
    });
    let report = program.rewrite(&mail)["report"].clone();
    for url in [&report["pixel"]["url"], &report["links"][0]["url"]] {
        program.follow(url.as_str().expect("a URL"));
    }
    let mut told = Vec::new();
    for (format, receiver) in formats.iter().zip(&receivers) {
        told.extend(
            receiver
                .until(2)
                .into_iter()
                .map(|received| (*format, received)),
        );
    }
    for (format, receiver) in formats.iter().zip(&batched) {
        told.extend(
            receiver
                .until(1)
                .into_iter()
                .map(|received| (*format, received)),
        );
    }
    let delivery = |(format, received): (&str, mailtrail_tests::Received)| {
        let headers: serde_json::Map<_, _> = received
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        let body = String::from_utf8(received.body).expect("text");
        json!({"format": format, "headers": headers, "body": body, "secrets": [SECRET, NEW_SECRET]})
    };
    told.into_iter().map(delivery).collect()
}

fn keeps_resends_types(node: &Path, typescript: &str) {
    assert_eq!(typescript.lines().count(), 2, "{typescript}");
    let folder = tempfile::tempdir_in(node).expect("a folder");
    let file = folder.path().join("received.mts");
    let check = |text: &str| {
        std::fs::write(&file, text).expect("written");
        let compiler = node.join("node_modules/.bin/tsc");
        let flags =
            "--noEmit --strict --skipLibCheck --module nodenext --moduleResolution nodenext";
        Command::new(compiler)
            .args(flags.split(' '))
            .arg(&file)
            .output()
            .expect("tsc runs")
    };
    let output = check(typescript);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    // The check itself is one: without a field it fails.
    let lacking = typescript.replace("\"subject\"", "\"title\"");
    assert!(!check(&lacking).status.success());
}

#[test]
fn the_published_libraries_take_every_format_and_refuse_what_is_changed() {
    let deliveries = Value::from(deliveries()).to_string();
    let node = installed("node-tool.sh", "webhooks-node", "");
    let script = root().join("tests/webhooks/verify.mjs");
    let typescript = run(Command::new("node").arg(script).arg(&node), &deliveries);
    keeps_resends_types(&node, &typescript);
    let python = installed("python-tool.sh", "webhooks-python", "requirements.txt");
    let script = root().join("tests/webhooks/verify.py");
    let events = run(Command::new(python.join("python")).arg(script), &deliveries);
    assert!(events.parse::<usize>().expect("a number") >= 3, "{events}");
}
