//! The chart is well made: linted, as agreed, and described by its values.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use mailtrail_tests::{built, root};
use serde_json::json;

use crate::chart::{NAMESPACE, file, folder, helm, object, objects, rendered, values_files};

/// Says that golden files are written anew.
const BLESS: &str = "MAILTRAIL_BLESS";

#[test]
fn every_file_of_values_passes_the_strict_lint() {
    for (name, path) in values_files() {
        let output = helm(&["lint", "--strict", ".", "--values", &path]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {said}");
    }
}

#[test]
fn two_renderings_are_as_agreed() {
    let files = values_files();
    for name in ["default-values", "full-values"] {
        let golden = folder().join(format!("golden/{name}.yaml"));
        // The definitions have a test of their own, and would be most of it.
        let flags = ["--values", &files[name], "--set", "crds.enabled=false"];
        let text = rendered(&flags);
        if std::env::var_os(BLESS).is_some() {
            fs::write(&golden, &text).expect("a golden file is written");
        }
        let agreed = fs::read_to_string(&golden).expect("a golden file");
        assert!(
            agreed == text,
            "{name} is rendered otherwise; if that is meant, {BLESS}=1 writes it anew:\n{}",
            first_difference(&agreed, &text)
        );
    }
}

fn first_difference(agreed: &str, text: &str) -> String {
    let mut lines = agreed.lines().zip(text.lines()).enumerate();
    let differ = lines.find(|(_, (agreed, text))| agreed != text);
    differ.map_or_else(
        || "one is longer".to_owned(),
        |(at, (agreed, text))| format!("line {}:\n- {agreed}\n+ {text}", at + 1),
    )
}

#[test]
fn the_readme_is_made_from_the_values_comments_and_every_value_has_one() {
    let program = root().join("tests/tools/go-tool.sh");
    let tools = Command::new(program).arg("helm-docs").output();
    let tools = tools.expect("go-tool.sh starts");
    assert!(tools.status.success(), "helm-docs is not there");
    let tools = String::from_utf8_lossy(&tools.stdout).trim().to_owned();
    let mut command = Command::new(format!("{tools}/helm-docs"));
    command.current_dir(folder());
    command.args(["--chart-search-root", ".", "--sort-values-order", "file"]);
    if std::env::var_os(BLESS).is_none() {
        command.arg("--dry-run");
    }
    let made = command.output().expect("helm-docs starts");
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(
        made.status.success() && !said.contains("level=error"),
        "{said}"
    );
    if std::env::var_os(BLESS).is_none() {
        let made = String::from_utf8_lossy(&made.stdout);
        assert!(
            file("README.md").trim() == made.trim(),
            "{BLESS}=1 writes it anew"
        );
    }
    let readme = file("README.md");
    let mut rows = readme.lines().filter(|line| line.starts_with("| "));
    assert!(rows.clone().count() > 50);
    assert_eq!(rows.find(|row| row.ends_with("|  |")), None);
}

/// What Helm prints after an install, for each file of values.
#[test]
fn what_to_do_next_fits_the_values() {
    for (name, path) in values_files() {
        let flags = ["install", "mailtrail", ".", "--dry-run=client"];
        let more = ["--namespace", NAMESPACE, "--values", &path];
        let output = helm(&[&flags[..], &more].concat());
        assert!(output.status.success(), "{name}: {output:?}");
        let said = String::from_utf8_lossy(&output.stdout);
        let notes = said.split("\nNOTES:\n").nth(1).expect("notes");
        let values = fs::read_to_string(&path).expect("values");
        let says = |words: &str| notes.contains(words);
        assert!(says(&format!("namespace {NAMESPACE}")), "{name}: {notes}");
        assert!(says("kubectl get secret mailtrail-keyring"), "{name}");
        assert_eq!(
            says("grep ^mailtrail_postgres_connected"),
            values.contains("url: postgres://"),
            "{name}: {notes}"
        );
        // The manifest is one when it is pasted as it stands.
        let (_, pasted) = notes.split_once("kubectl create -f -").expect("a command");
        let (pasted, _) = pasted.split_once("kubectl wait").expect("what follows");
        let output = Command::new("bash")
            .args(["-euc", &format!("cat{pasted}")])
            .output();
        let yaml = output.expect("bash starts").stdout;
        let objects = objects(std::str::from_utf8(&yaml).expect("text"));
        assert_eq!(objects[0]["kind"], "TrackingDomain", "{name}: {notes}");
        assert!(objects[0]["spec"]["host"].is_string(), "{name}: {notes}");
        // Nothing is left open, and no line is one that a condition has emptied.
        assert!(
            !says("<nil>") && !says("%!") && !says("\n\n\n"),
            "{name}: {notes}"
        );
    }
}

/// With another template every replica would restart, and with one left nobody
/// would answer meanwhile.
#[test]
fn to_scale_is_not_to_restart() {
    let template = |replicas: &str| {
        let url = "postgres.url=postgres://m@h/n";
        let count = format!("dataplane.replicas={replicas}");
        let objects = objects(&rendered(&["--set", url, "--set", &count]));
        object(&objects, "StatefulSet", "mailtrail-dataplane")["spec"]["template"].clone()
    };
    assert_eq!(template("1"), template("3"));
}

#[test]
fn under_a_policy_the_installs_namespace_may_have_the_host_of_helm_test_and_no_other() {
    let rules = |flags: &[&str]| {
        let policy = r#"hostPolicy=[{"namespaces":["shop"],"hosts":["*.shop.example"]}]"#;
        let objects = objects(&rendered(&[&["--set-json", policy], flags].concat()));
        let map = object(&objects, "ConfigMap", "mailtrail-host-policy");
        crate::chart::objects(map["data"]["hosts.yaml"].as_str().expect("text")).remove(0)
    };
    let given = json!({"namespaces": ["shop"], "hosts": ["*.shop.example"]});
    let host = format!("test.{NAMESPACE}.mailtrail.invalid");
    let added = json!({"namespaces": [NAMESPACE], "hosts": [host], "maxDomains": 1});
    assert_eq!(rules(&[]), json!([given, added]));
    // There is no test where its domain would not be looked at.
    assert_eq!(rules(&["--set", "watchNamespaces={shop}"]), json!([given]));
}

/// kube-score: what is left out, and why, stands here.
#[test]
fn a_second_linter_finds_nothing() {
    let output = Command::new(root().join("tests/tools/go-tool.sh"))
        .arg("kube-score")
        .output();
    let output = output.expect("go-tool.sh starts");
    assert!(output.status.success(), "kube-score is not there");
    let tools = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let passed_over = [
        // Nothing is written but to the volume.
        "container-ephemeral-storage-request-and-limit",
        // Tags of releases do not move; a digest is better still.
        "container-image-pull-policy",
        // Where hosts and receivers are is not known beforehand.
        "pod-networkpolicy",
        // Spread is asked for by topologySpreadConstraints.
        "deployment-has-host-podantiaffinity",
        "statefulset-has-host-podantiaffinity",
    ];
    let flags = passed_over.iter().flat_map(|test| ["--ignore-test", test]);
    for (name, path) in values_files() {
        let mut child = Command::new(format!("{tools}/kube-score"))
            .args([
                "score",
                "--kubernetes-version",
                "v1.33",
                "--exit-one-on-warning",
            ])
            // A limit of CPU throttles where nobody else wants it.
            .args(["--ignore-container-cpu-limit", "--output-format", "ci"])
            .args(flags.clone())
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("kube-score starts");
        // It takes a Pod of `helm test` for one that stays.
        let yaml = rendered(&["--values", &path, "--skip-tests"]);
        let mut stdin = child.stdin.take().expect("piped");
        let writer = std::thread::spawn(move || stdin.write_all(yaml.as_bytes()));
        let output = child.wait_with_output().expect("it ends");
        writer.join().expect("no panic").expect("it reads all");
        let said = String::from_utf8_lossy(&output.stdout);
        let found: Vec<_> = said
            .lines()
            .filter(|line| !line.starts_with("[OK]") && !line.starts_with("[SKIPPED]"))
            .collect();
        assert!(
            output.status.success() && found.is_empty(),
            "{name}: {found:#?}"
        );
    }
}

/// clap reads flags in order: what it complains of is the one that does not
/// exist, behind all that the chart gives.
#[test]
fn the_programs_know_every_flag_that_the_chart_gives_them() {
    for (name, path) in values_files() {
        let objects = objects(&rendered(&["--values", &path]));
        for (kind, program) in [
            ("Deployment", "mailtrail-operator"),
            ("StatefulSet", "mailtrail-dataplane"),
        ] {
            let args = &object(&objects, kind, program)["spec"]["template"]["spec"]["containers"]
                [0]["args"];
            let args = args
                .as_array()
                .expect("flags")
                .iter()
                .map(|arg| arg.as_str().expect("text"));
            let output = Command::new(built(program))
                .args(args)
                .arg("--no-such-flag")
                .output();
            let output = output.expect("the program starts");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{name}: {said}");
            assert!(
                said.contains("unexpected argument '--no-such-flag'"),
                "{name}: {said}"
            );
        }
    }
}
