//! The chart as tests see it: rendered by the real Helm, parsed.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::LazyLock;

use mailtrail_tests::{helm_program, root};
use serde_json::Value;

/// The namespace that it is rendered for, unless a test says otherwise.
pub(crate) const NAMESPACE: &str = "mailtrail-system";

/// The chart's folder.
pub(crate) fn folder() -> PathBuf {
    root().join("charts/mailtrail")
}

/// A file of the chart.
pub(crate) fn file(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs Helm, whatever becomes of it.
pub(crate) fn helm(flags: &[&str]) -> Output {
    static HELM: LazyLock<PathBuf> = LazyLock::new(helm_program);
    Command::new(&*HELM)
        .args(flags)
        .current_dir(folder())
        .output()
        .expect("helm starts")
}

/// The chart rendered with these flags; what Helm said where it refuses.
pub(crate) fn tried(flags: &[&str]) -> Result<String, String> {
    let base = ["template", "mailtrail", ".", "--namespace", NAMESPACE];
    let output = helm(&[&base[..], flags].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}

/// The same where Helm must not refuse.
pub(crate) fn rendered(flags: &[&str]) -> String {
    tried(flags).unwrap_or_else(|said| panic!("helm template {flags:?}: {said}"))
}

/// The objects of a YAML text.
pub(crate) fn objects(yaml: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(yaml).expect("YAML");
    all.into_iter().filter(|object| !object.is_null()).collect()
}

/// The one object of a kind and name.
pub(crate) fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found: Vec<_> = objects
        .iter()
        .filter(|object| object["kind"] == kind && object["metadata"]["name"] == name)
        .collect();
    assert_eq!(found.len(), 1, "{kind} {name}");
    found[0]
}

/// The files of values under `ci/`, by name.
pub(crate) fn values_files() -> BTreeMap<String, String> {
    let folder = fs::read_dir(folder().join("ci")).expect("a folder");
    let files: BTreeMap<_, _> = folder
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().expect("a name").to_string_lossy();
            (name.into_owned(), path.to_string_lossy().into_owned())
        })
        .collect();
    assert!(files.len() >= 3, "{files:?}");
    files
}

/// The templates of pods, by the name of what they are of.
pub(crate) fn pod_templates(objects: &[Value]) -> Vec<(String, Value)> {
    let template = |object: &Value| {
        let name = object["metadata"]["name"].as_str()?.to_owned();
        let pod = &object["spec"]["template"];
        pod.is_object().then(|| (name, pod.clone()))
    };
    objects.iter().filter_map(template).collect()
}
