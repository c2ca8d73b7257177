//! The house is in order: each outside library keeps to its room, and
//! dependencies point one way.

use std::fs;
use std::path::PathBuf;

/// An outside library and the places whose names its paths may begin with.
const ROOMS: [(&str, &[&str]); 15] = [
    (
        "lol_html",
        &["dataplane/src/rewrite", "dataplane/benches/rewrite"],
    ),
    ("sled", &["dataplane/src/store"]),
    ("crc32c", &["dataplane/src/store"]),
    (
        "hyper",
        &[
            "dataplane/src/serve",
            "dataplane/src/api",
            "dataplane/src/deliver/attempt",
            "dataplane/tests",
            "operator/src/verify/probe.rs",
            "operator/src/replicas/ask.rs",
        ],
    ),
    (
        "hyper_util",
        &[
            "dataplane/src/serve",
            "dataplane/src/api",
            "dataplane/src/deliver/attempt",
            "dataplane/tests",
            "operator/src/verify/probe.rs",
            "operator/src/replicas/ask.rs",
        ],
    ),
    (
        "axum",
        &[
            "dataplane/src/api",
            "dataplane/src/admin",
            "operator/src/admin.rs",
        ],
    ),
    ("utoipa", &["dataplane/src/api"]),
    ("utoipa_axum", &["dataplane/src/api"]),
    (
        "clap",
        &[
            "dataplane/src/args",
            "dataplane/src/main.rs",
            "operator/src/args.rs",
            "operator/src/main.rs",
        ],
    ),
    ("kube", &["crds", "operator", "dataplane/src/cluster"]),
    (
        "k8s_openapi",
        &["crds", "operator", "dataplane/src/cluster"],
    ),
    (
        "serde_saphyr",
        &[
            "crds",
            "dataplane/src/config",
            "dataplane/src/judge",
            "dataplane/tests/verdicts",
            "operator/src/policy.rs",
            "operator/src/expose/settings.rs",
        ],
    ),
    ("tokio_postgres", &["dataplane/src/postgres"]),
    ("tokio_postgres_rustls", &["dataplane/src/postgres"]),
    (
        "tracing_subscriber",
        &[
            "dataplane/src/run",
            // What is logged of a file that is broken is a promise, and read there.
            "dataplane/tests/serve/certificates.rs",
            "operator/src/run",
        ],
    ),
];

/// What `core` may build on: pure things. No clock, no io, no runtime.
const CORE_MAY_USE: [&str; 12] = [
    "aws-lc-rs",
    "data-encoding",
    "jiff",
    "psl",
    "quick_cache",
    "serde",
    "serde_json",
    "thiserror",
    "url",
    "uuid",
    "phf",
    "memchr",
];

/// Words that `core` may not say outside its tests.
const CORE_MAY_NOT_SAY: [&str; 9] = [
    "std::fs",
    "std::net",
    "std::env",
    "std::time::SystemTime",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "now_v7()",
    "new_v4()",
];

#[test]
fn each_outside_library_keeps_to_its_room() {
    let mut strays = Vec::new();
    for file in sources(&["core", "crds", "dataplane", "operator"]) {
        let text = fs::read_to_string(&file).expect("a source file");
        let place = file
            .strip_prefix(mailtrail_tests::root())
            .expect("below the root")
            .to_path_buf();
        for (library, rooms) in ROOMS {
            let at_home = rooms
                .iter()
                .any(|room| place.to_string_lossy().starts_with(room));
            if !at_home && uses(&text, library) {
                strays.push(format!(
                    "{} uses {library}; its room is {rooms:?}",
                    place.display()
                ));
            }
        }
    }
    assert!(strays.is_empty(), "{}", strays.join("\n"));
}

#[test]
fn files_are_written_by_the_store_the_keyring_and_the_memories_of_domains_alone() {
    let rooms = [
        "dataplane/src/store",
        "dataplane/src/keyring.rs",
        "dataplane/src/config/kept.rs",
        "dataplane/src/config/shards/kept.rs",
        // The YAML that is committed.
        "crds/src/bin/crdgen.rs",
    ];
    let words = [
        "OpenOptions",
        "File::create",
        "fs::write",
        "fs::remove",
        "fs::rename",
        "create_dir",
    ];
    let mut strays = Vec::new();
    for file in sources(&["core/src", "crds/src", "dataplane/src", "operator/src"]) {
        let place = file
            .strip_prefix(mailtrail_tests::root())
            .expect("below the root")
            .to_path_buf();
        let name = place.to_string_lossy();
        if rooms.iter().any(|room| name.starts_with(room)) || name.contains("/tests") {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a source file");
        let text = before_tests(&text);
        strays.extend(
            words
                .iter()
                .filter(|w| text.contains(**w))
                .map(|w| format!("{name} says {w}")),
        );
    }
    assert!(strays.is_empty(), "{}", strays.join("\n"));
}

#[test]
fn dependencies_point_one_way() {
    for (package, never) in [
        (
            "core",
            &[
                "mailtrail-crds",
                "mailtrail-dataplane",
                "mailtrail-operator",
            ][..],
        ),
        ("crds", &["mailtrail-dataplane", "mailtrail-operator"][..]),
        ("dataplane", &["mailtrail-operator"][..]),
    ] {
        let manifest = fs::read_to_string(mailtrail_tests::root().join(package).join("Cargo.toml"));
        let manifest = manifest.expect("a manifest");
        for other in never {
            assert!(!manifest.contains(other), "{package} depends on {other}");
        }
    }
}

#[test]
fn core_is_pure() {
    let manifest =
        fs::read_to_string(mailtrail_tests::root().join("core/Cargo.toml")).expect("a manifest");
    let dependencies = manifest
        .split("[dependencies]")
        .nth(1)
        .expect("dependencies");
    let dependencies = dependencies.split("\n[").next().unwrap_or_default();
    for line in dependencies.lines().filter(|line| line.contains('=')) {
        let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
        assert!(
            CORE_MAY_USE.contains(&name),
            "core may not depend on {name}"
        );
    }
    for file in sources(&["core/src"]) {
        if file.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a source file");
        for word in CORE_MAY_NOT_SAY {
            assert!(
                !before_tests(&text).contains(word),
                "{} says {word}",
                file.display()
            );
        }
    }
}

#[test]
fn versions_stand_in_the_root_manifest_alone() {
    for package in ["core", "crds", "dataplane", "operator", "tests"] {
        let Ok(manifest) =
            fs::read_to_string(mailtrail_tests::root().join(package).join("Cargo.toml"))
        else {
            continue;
        };
        let own = manifest.lines().find(|line| line.contains("version = \""));
        assert_eq!(own, None, "{package}/Cargo.toml names a version of its own");
    }
}

/// Whether code (not prose) names the library as a path or an import.
fn uses(text: &str, library: &str) -> bool {
    let path = format!("{library}::");
    text.lines()
        .map(str::trim_start)
        .filter(|line| !line.starts_with("//"))
        .any(|line| {
            line.match_indices(&path).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':'))
            })
        })
}

fn before_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

/// All Rust files below these folders, those that exist.
fn sources(folders: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<_> = folders
        .iter()
        .map(|f| mailtrail_tests::root().join(f))
        .collect();
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "no source below {folders:?}");
    found
}
