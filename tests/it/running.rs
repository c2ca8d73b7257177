//! Running it: clear errors at start, live reload, a stop that loses nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mailtrail_tests::{Flags, Program, root};
use serde_json::json;

const MANIFEST: &str = "apiVersion: mailtrail.dev/v1alpha1
kind: TrackingDomain
metadata: {name: links, namespace: demo}
spec:
  host: links.localhost
  opens: {enabled: true}
  clicks: {enabled: true}
";

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a file is written");
}

#[test]
fn a_data_folder_in_use_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let flags = Flags::new(root().join("examples/manifests"), folder.path());
    let first = flags.start();
    let (status, said) = flags.refused();
    assert!(!status.success() && said.contains("in use"), "{said}");
    assert!(
        said.contains(folder.path().to_str().expect("text")),
        "{said}"
    );
    drop(first);
}

#[test]
fn a_port_in_use_is_refused_by_flag_and_address() {
    let folder = tempfile::tempdir().expect("a folder");
    for flag in ["--public", "--api", "--admin"] {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("bound").to_string();
        let flags =
            Flags::new(root().join("examples/manifests"), folder.path()).with(flag, &address);
        let (status, said) = flags.refused();
        assert!(
            !status.success() && said.contains(flag) && said.contains(&address),
            "{said}"
        );
    }
}

#[test]
fn an_api_that_others_reach_is_refused_without_tokens() {
    let folder = tempfile::tempdir().expect("a folder");
    let flags =
        Flags::new(root().join("examples/manifests"), folder.path()).with("--api", "0.0.0.0:0");
    let (status, said) = flags.refused();
    assert!(!status.success() && said.contains("--api-tokens"), "{said}");
}

#[test]
fn a_damaged_keyring_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let flags = Flags::new(root().join("examples/manifests"), folder.path());
    let program = flags.start();
    // A mail that may be out there now: its links depend on the keyring.
    program.rewrite(&json!({"domain": "demo/links", "message_id": "m", "html": "<p>Hello</p>"}));
    assert!(program.stop().success());
    let keyring = folder.path().join("keyring.json");
    write(&keyring, "{\"version\":1,");
    let (status, said) = flags.refused();
    assert!(
        !status.success() && said.contains("keyring.json") && said.contains("line 1"),
        "{said}"
    );
    fs::remove_file(&keyring).expect("removed");
    let (status, said) = flags.refused();
    assert!(
        !status.success() && said.contains("Restore the file"),
        "{said}"
    );
    assert!(!keyring.exists());
}

#[test]
fn a_malformed_manifest_names_file_field_and_rule() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = folder.path().join("bad.yaml");
    write(
        &manifest,
        &MANIFEST.replace("links.localhost", "Not_A_Host"),
    );
    let (status, said) = Flags::new(&manifest, folder.path().join("data")).refused();
    assert!(
        !status.success() && said.contains("bad.yaml") && said.contains("spec.host"),
        "{said}"
    );
    write(&manifest, &MANIFEST.replace("opens:", "opened:"));
    let (status, said) = Flags::new(&manifest, folder.path().join("data")).refused();
    assert!(!status.success() && said.contains("opened"), "{said}");
}

#[test]
fn a_changed_manifest_is_applied_and_a_bad_one_keeps_the_last_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = folder.path().join("domain.yaml");
    write(&manifest, MANIFEST);
    let program = Flags::new(&manifest, folder.path().join("data")).start();
    let mail = json!({"domain": "demo/links", "message_id": "m", "html": "<p>Hello</p>"});
    let opens = |p: &Program| p.rewrite(&mail)["report"]["pixel"]["placed"].clone();
    assert_eq!(opens(&program), true);

    write(
        &manifest,
        &MANIFEST.replace("opens: {enabled: true}", "opens: {enabled: false}"),
    );
    program.until("the toggle is off", |p| opens(p) == false);

    write(
        &manifest,
        &MANIFEST.replace("opens: {enabled: true}", "opens: {enabled: perhaps}"),
    );
    program.until("the log names the file", |p| {
        p.log().contains("domain.yaml") && p.log().contains("spec.opens")
    });
    assert_eq!(opens(&program), false);

    write(&manifest, MANIFEST);
    program.until("the toggle is on again", |p| opens(p) == true);

    // One domain goes, another comes: each is counted as what it is.
    let other = MANIFEST.replace("name: links", "name: other");
    write(
        &manifest,
        &other.replace("links.localhost", "other.localhost"),
    );
    program.until("what is retired is told apart", |p| {
        p.log().contains("\"domains\":1,\"retired\":1")
    });
}

#[test]
fn a_link_outlives_its_manifest_and_its_host_also_over_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (manifests, data) = (folder.path().join("manifests"), folder.path().join("data"));
    fs::create_dir(&manifests).expect("a folder");
    write(&manifests.join("a.yaml"), MANIFEST);
    let other = MANIFEST.replace("links", "other");
    write(&manifests.join("b.yaml"), &other);
    let flags = Flags::new(&manifests, &data);
    let program = flags.start();
    let html = "<a href=\"https://shop.example/offer\">Look</a>";
    let link = |program: &Program, domain: &str| {
        let mail = json!({"domain": domain, "message_id": "m", "html": html});
        let report = program.rewrite(&mail)["report"].clone();
        report["links"][0]["url"]
            .as_str()
            .expect("a link")
            .to_owned()
    };
    let links = [link(&program, "demo/links"), link(&program, "demo/other")];
    assert!(program.stop().success());

    // One is deleted and the other renamed while nobody looks.
    fs::remove_file(manifests.join("a.yaml")).expect("removed");
    let renamed = other.replace("host: other", "host: renamed");
    write(&manifests.join("b.yaml"), &renamed);
    for _ in 0..2 {
        let program = flags.start();
        for link in &links {
            let answer = program.follow(link);
            assert_eq!(answer.status, 302, "{link}");
            assert_eq!(
                answer.header("location"),
                Some("https://shop.example/offer")
            );
        }
        assert!(link(&program, "demo/other").contains("renamed.localhost"));
        assert!(program.stop().success());
    }
}

const RULES: &str = "version: 1
signs:
  - name: browser
    userAgent: {contains: [Firefox/]}
rules:
  - {name: browser, when: {any: [browser]}, verdict: human}
";

#[test]
fn bad_rules_are_refused_at_start_by_file_line_and_field() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules.yaml");
    write(&rules, &RULES.replace("any: [browser]", "any: [brwoser]"));
    let flags = Flags::new(
        root().join("examples/manifests"),
        folder.path().join("data"),
    )
    .with("--rules", rules.to_str().expect("text"));
    let (status, said) = flags.refused();
    let told = "rules.yaml: line 6: rules[0].when.any[0]: names no sign: brwoser";
    assert!(!status.success() && said.contains(told), "{said}");
    fs::remove_file(&rules).expect("removed");
    let (status, said) = flags.refused();
    assert!(!status.success() && said.contains("--rules"), "{said}");
}

#[test]
fn changed_rules_are_taken_and_bad_ones_keep_the_last_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules.yaml");
    write(&rules, RULES);
    let program = Flags::new(
        root().join("examples/manifests"),
        folder.path().join("data"),
    )
    .with("--rules", rules.to_str().expect("text"))
    .start();
    let says = |p: &Program, line: &str| {
        let metrics = p.get(p.admin(), "/metrics").text();
        metrics.lines().any(|l| l == format!("mailtrail_{line}"))
    };
    assert!(says(&program, "rules_last_reload_ok 1"));

    write(&rules, &RULES.replace("human", "scanner"));
    program.until("the rules are taken", |p| says(p, "rules_reloads_total 1"));

    write(&rules, &RULES.replace("human", "robot"));
    program.until("the log names file and line", |p| {
        p.log().contains("rules.yaml: line 6: ")
    });
    program.until("the metrics say so", |p| {
        says(p, "rules_last_reload_ok 0") && says(p, "rules_reload_failures_total 1")
    });
}

#[test]
fn live_ready_and_metrics_answer_and_name_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = Flags::new(root().join("examples/manifests"), folder.path()).start();
    for path in ["/live", "/ready"] {
        assert_eq!(program.get(program.admin(), path).status, 200, "{path}");
    }
    let metrics = program.get(program.admin(), "/metrics").text();
    assert!(
        metrics.contains("mailtrail_events_not_kept_total 0") && metrics.ends_with("# EOF\n"),
        "{metrics}"
    );
    assert!(!metrics.contains('@'));
}

#[test]
fn the_keyring_is_its_owners_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let _program = Flags::new(root().join("examples/manifests"), folder.path()).start();
    let mode = fs::metadata(folder.path().join("keyring.json"))
        .expect("made")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_settling_time_that_misses_bursts_is_warned_of_with_both_times() {
    let warned = |settle: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let flags = Flags::new(root().join("examples/manifests"), folder.path());
        let program = flags.with("--settle", settle).start();
        let log = program.log();
        assert!(program.stop().success());
        log.lines().any(|line| {
            line.contains("WARN")
                && line.contains("--settle")
                && line.contains("\"burst_ms\":10000")
        })
    };
    assert!(warned("9999ms"));
    assert!(!warned("10s"));
}
