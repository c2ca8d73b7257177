//! The images of both programs: what they hold, and whose they are.

use std::process::Command;

use mailtrail_tests::{Node, root};
use serde_json::Value;

/// Runs a program in the checkout's folder; gives what it prints.
fn run(program: &str, flags: &[&str]) -> String {
    let output = Command::new(program)
        .args(flags)
        .current_dir(root())
        .output()
        .expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, said) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{program} {flags:?}: {out}{said}");
    out
}

#[test]
fn the_dockerfile_passes_its_linter() {
    let requirements = "tests/images/requirements.txt";
    let tools = run("tests/tools/python-tool.sh", &["hadolint", requirements]);
    run(&format!("{}/hadolint", tools.trim()), &["Dockerfile"]);
}

/// From the Dockerfile's own last stages, and with binaries that need no library.
#[test]
fn an_image_is_one_static_program_of_a_user_without_rights() {
    if let Some(why) = Node::hindrance() {
        eprintln!("{why}");
        return;
    }
    let folder = run("tests/images/build.sh", &[]);
    for program in ["operator", "dataplane"] {
        let archive = format!("{}/{program}.tar", folder.trim());
        let member = |name: &str| {
            run(
                "tar",
                &["--extract", "--to-stdout", "--file", &archive, name],
            )
        };
        let json = |name: &str| serde_json::from_str::<Value>(&member(name)).expect("JSON");
        let manifest = json("manifest.json")[0].take();
        let image = json(manifest["Config"].as_str().expect("a name"));
        let config = &image["config"];
        assert_eq!(config["User"], "65532:65532");
        let name = format!("mailtrail-{program}");
        assert_eq!(
            config["Entrypoint"],
            serde_json::json!([format!("/{name}")])
        );
        let label = |label: &str| {
            let label = &config["Labels"][format!("org.opencontainers.image.{label}")];
            label.as_str().unwrap_or_default().to_owned()
        };
        assert_eq!(label("title"), name);
        assert_eq!(label("licenses"), "Apache-2.0");
        assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
        assert_eq!(label("revision").len(), 40, "{config:#}");
        let layers = manifest["Layers"].as_array().expect("layers");
        let mut files = Vec::new();
        for layer in layers {
            let layer = layer.as_str().expect("a name");
            let list = format!("tar --extract --to-stdout --file {archive} {layer} | tar --list");
            let list = run("bash", &["-euo", "pipefail", "-c", &list]);
            files.extend(
                list.lines()
                    .filter(|path| !path.ends_with('/'))
                    .map(str::to_owned),
            );
        }
        files.sort();
        files.dedup();
        assert_eq!(files, ["etc/ssl/certs/ca-certificates.crt", &name]);
    }
}
