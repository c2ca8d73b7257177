use std::fs;
use std::os::unix::fs::symlink;

use mailtrail_core::config::DomainState;
use tempfile::TempDir;

use super::*;

const MINIMAL: &str = "\
apiVersion: mailtrail.dev/v1alpha1
kind: TrackingDomain
metadata: {namespace: shop, name: links}
spec:
  host: links.shop.example
  verification: None
";

/// A folder of these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("written");
    }
    folder
}

/// The faults of these files, with file names alone.
fn faults(files: &[(&str, &str)]) -> Vec<String> {
    let folder = folder(files);
    let errors = load(folder.path()).expect_err("faults");
    let prefix = format!("{}/", folder.path().display());
    let told = errors.to_string().replace(&prefix, "");
    told.lines().map(str::to_owned).collect()
}

fn check_fault(text: &str, expected: &str) {
    let told = faults(&[("a.yaml", text)]);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with(expected),
        "{} is not {expected}",
        told[0]
    );
}

fn realms(loaded: &Loaded) -> Vec<String> {
    let mut realms: Vec<_> = loaded
        .snapshot
        .domains()
        .map(|d| d.realm.to_string())
        .collect();
    realms.sort();
    realms
}

#[test]
fn every_example_loads() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let demo = load(&examples.join("manifests")).expect("the demo's folder");
    assert_eq!(realms(&demo), ["demo/links"]);
    assert!(demo.notices.is_empty(), "{:?}", demo.notices);
    let sink = load(&examples.join("sink")).expect("the example of a sink");
    assert_eq!((realms(&sink), sink.sinks.len()), (realms(&demo), 1));
    let domain = demo
        .snapshot
        .by_host("links.localhost")
        .expect("the demo's host");
    assert!(domain.verified && domain.opens.enabled && domain.clicks.enabled);
    let files = fs::read_dir(&examples)
        .expect("examples")
        .map(|e| e.expect("entry").path());
    let manifests: Vec<_> = files
        .filter(|f| f.extension().is_some_and(|e| e == "yaml"))
        .collect();
    assert!(!manifests.is_empty());
    for file in manifests {
        let loaded = load(&file).unwrap_or_else(|errors| panic!("{errors}"));
        // What else is applied to a cluster is passed over.
        let text = fs::read_to_string(&file).expect("an example");
        let domains = text.lines().filter(|line| *line == "kind: TrackingDomain");
        assert_eq!(loaded.snapshot.len(), domains.count(), "{}", file.display());
    }
}

#[test]
fn a_folder_is_read_as_kubectl_would() {
    let second = "---\n# nothing\n---\napiVersion: mailtrail.dev/v1alpha1\nkind: TrackingDomain\nmetadata: {name: other}\nspec: {host: other.localhost}\n---\nkind: ConfigMap\napiVersion: v1\nmetadata: {name: x}\n";
    let json = "{\n\t\"apiVersion\": \"v1\", \"kind\": \"List\",\n\t\"items\": [{\"apiVersion\": \"mailtrail.dev/v1alpha1\", \"kind\": \"TrackingDomain\",\n\t\t\"metadata\": {\"namespace\": \"json\", \"name\": \"x\", \"creationTimestamp\": null},\n\t\t\"spec\": {\"host\": \"x.localhost\"}, \"status\": {\"anything\": 1}}]\n}\n";
    let folder = folder(&[
        ("a.yaml", MINIMAL),
        ("b.yml", second),
        ("c.json", json),
        ("notes.txt", "{"),
        (".hidden.yaml", "{"),
    ]);
    fs::create_dir(folder.path().join("sub.yaml")).expect("a folder");
    let loaded = load(folder.path()).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(realms(&loaded), ["default/other", "json/x", "shop/links"]);
    let [notice] = loaded.notices.as_slice() else {
        panic!("{:?}", loaded.notices)
    };
    assert_eq!(
        notice.what,
        NoticeKind::OtherKind("ConfigMap of v1".to_owned())
    );
    assert_eq!((notice.place.line, notice.place.column), (9, 1));
}

#[test]
fn a_mounted_config_map_is_read_once() {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("..2026_01");
    fs::create_dir(&data).expect("made");
    fs::write(data.join("a.yaml"), MINIMAL).expect("written");
    symlink("..2026_01", folder.path().join("..data")).expect("linked");
    symlink("..data/a.yaml", folder.path().join("a.yaml")).expect("linked");
    assert_eq!(
        realms(&load(folder.path()).expect("loaded")),
        ["shop/links"]
    );
}

#[test]
fn every_fault_is_told_at_once_with_its_place() {
    let first = MINIMAL.replace("links.shop.example", "Shop")
        + "  retention: 1w\n  clicks:\n    maxLink: 5\n  aliases: [a.example,\n    a.example]\n---\nkind: TrackingDomain\napiVersion: mailtrail.dev/v1\n---\njust a text\n";
    let second = "apiVersion: mailtrail.dev/v1alpha1\nkind: TrackingDomain\nmetadata:\n  name: Links\nspec:\n  opens: {}\n";
    assert_eq!(
        faults(&[
            ("a.yaml", &first),
            ("b.yaml", second),
            ("c.yaml", "a: [1,\nb: 2\n")
        ]),
        [
            "a.yaml:5:9: spec.host: must be a lower-case DNS name of at least two labels (letters, digits, inner hyphens; international names as xn--), without scheme, port, path and final dot",
            "a.yaml:7:14: spec.retention: must be a number of days or hours: 45d, or 1080h",
            "a.yaml:9:14: spec.clicks.maxLink: is not a field",
            "a.yaml:11:5: spec.aliases[1]: must not be there twice",
            "a.yaml:14:13: apiVersion: must be mailtrail.dev/v1alpha1",
            "a.yaml:16:1: is no Kubernetes object: it needs apiVersion and kind",
            "b.yaml:4:9: metadata.name: must be lower-case letters, digits, inner hyphens and dots (a DNS subdomain, RFC 1123)",
            "b.yaml:5:1: spec.host: must be given",
            "c.yaml:1:4: is no YAML: unclosed bracket '['",
        ]
    );
}

#[test]
fn a_name_or_host_that_is_there_twice_is_told_with_both_places() {
    let again = MINIMAL.replace("links.shop.example", "other.example");
    let told = faults(&[("a.yaml", MINIMAL), ("b.yaml", &again)]);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with(
            "b.yaml:3:35: metadata.name: shop/links is declared twice, first at a.yaml:3:35"
        ),
        "{told:?}"
    );
    let other = MINIMAL
        .replace("name: links", "name: other")
        .replace("links.shop.example", "b.example")
        + "  aliases: [links.shop.example]\n";
    let told = faults(&[("a.yaml", MINIMAL), ("b.yaml", &other)]);
    assert_eq!(
        told,
        ["b.yaml:7:13: spec.aliases[0]: links.shop.example is another domain's, see a.yaml:5:9"]
    );
}

#[test]
fn what_is_no_manifest_is_told_as_such() {
    check_fault("a: 1\na: 2\n", "a.yaml:2:1: is no YAML: ");
    check_fault("\"open", "a.yaml:1:");
    check_fault("a: &x [*x]\n", "a.yaml:1:");
    check_fault(&"[".repeat(100_000), "a.yaml:1:");
    check_fault(
        "kind: TrackingDomain\n",
        "a.yaml:1:1: is no Kubernetes object",
    );
    let bombs = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
    check_fault(bombs, "a.yaml:");
    let missing = load(Path::new("/nowhere/at/all"))
        .expect_err("missing")
        .to_string();
    assert!(
        missing.starts_with("/nowhere/at/all: could not be read: "),
        "{missing}"
    );
}

#[test]
fn what_is_not_utf_8_is_told_by_file_place_and_byte_offset() {
    let folder = folder(&[("b.yaml", MINIMAL)]);
    let text = [MINIMAL.as_bytes(), "# gr\u{fc}n\n#".as_bytes(), b"\xfc\n"].concat();
    let offset = text.len() - 2;
    fs::write(folder.path().join("a.yaml"), &text).expect("written");
    let errors = load(folder.path()).expect_err("faults").to_string();
    let expected = format!(
        "{}/a.yaml:8:2: must be UTF-8; the byte at offset {offset} is none (counted from 0)",
        folder.path().display()
    );
    assert_eq!(errors, expected);
}

#[test]
fn a_fault_does_not_show_what_may_be_a_secret() {
    for text in [
        "kind: Secret\nstringData:\n  key: hunter2: x\n",
        "kind: Secret\ndata: {key: hunter2\n",
        "key: \"hunter2\\q\"\n",
    ] {
        let told = faults(&[("a.yaml", text)]).join("\n");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn files_are_bounded() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("a.yaml");
    fs::File::create(&file)
        .and_then(|f| f.set_len(FILE_MAX_BYTES + 1))
        .expect("a large file");
    let told = load(&file).expect_err("too large").to_string();
    assert!(
        told.ends_with("a.yaml: is larger than 16777216 bytes"),
        "{told}"
    );
}

#[test]
fn the_number_of_faults_told_is_bounded_and_the_rest_counted() {
    let errors = load(folder(&[("a.yaml", &"---\n1\n".repeat(150))]).path()).expect_err("faults");
    assert_eq!((errors.faults.len(), errors.more), (TOLD_MAX, 50));
}

#[test]
fn a_domain_of_another_class_is_passed_over() {
    let loaded = load(folder(&[("a.yaml", &(MINIMAL.to_owned() + "  className: eu\n"))]).path())
        .expect("loaded");
    assert!(loaded.snapshot.is_empty());
    assert_eq!(
        loaded.notices[0].what,
        NoticeKind::OtherClass("eu".to_owned())
    );
}

#[test]
fn a_host_that_nobody_verified_is_served_with_a_warning() {
    let text = MINIMAL.replace("  verification: None\n", "");
    let loaded = load(folder(&[("a.yaml", &text)]).path()).expect("loaded");
    assert!(loaded.snapshot.domains().all(|domain| domain.verified));
    assert_eq!(
        loaded.notices[0].what,
        NoticeKind::Unverified("links.shop.example".to_owned())
    );
}

#[test]
fn another_kind_of_ours_is_a_fault_and_not_passed_over() {
    let text = MINIMAL.replace("kind: TrackingDomain", "kind: TrackingDomains");
    let errors = load(folder(&[("a.yaml", &text)]).path()).expect_err("a fault");
    let told = errors.to_string();
    assert!(told.contains(": kind: must be TrackingDomain"), "{told}");
}

const SINK: &str = "\
apiVersion: mailtrail.dev/v1alpha1
kind: EventSink
metadata: {namespace: shop, name: orders}
spec:
  url: https://hooks.shop.example/
  secretRefs: [{name: key}]
";

#[test]
fn sinks_are_read_beside_domains() {
    let named = SINK.to_owned() + "  domains: [links, none]\n";
    let text = format!("{MINIMAL}---\n{named}");
    let loaded = load(folder(&[("a.yaml", &text)]).path()).expect("it loads");
    let sink = &loaded.sinks["shop/orders"];
    assert_eq!((sink.domains.len(), sink.secrets.len()), (2, 1));
    let told: Vec<_> = loaded.notices.iter().map(Notice::to_string).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("a.yaml:14:20: no tracking domain shop/none"),
        "{told:?}"
    );
}

#[test]
fn a_sink_in_whose_namespace_no_domain_is_declared_is_told() {
    let told = |sink: &str| -> Vec<String> {
        let text = format!("{MINIMAL}---\n{sink}");
        let loaded = load(folder(&[("a.yaml", &text)]).path()).expect("it loads");
        loaded.notices.iter().map(Notice::to_string).collect()
    };
    assert!(told(SINK).is_empty());
    let nowhere = told(&SINK.replace("namespace: shop, ", ""));
    assert_eq!(nowhere.len(), 1, "{nowhere:?}");
    let said =
        "no tracking domain is declared in namespace default: the sink default/orders gets nothing";
    assert!(nowhere[0].ends_with(said), "{nowhere:?}");
}

#[test]
fn a_sink_that_is_wrong_or_there_twice_is_told_where() {
    check_fault(
        &SINK.replace("https:", "ftp:"),
        "a.yaml:5:8: spec.url: must be an http",
    );
    check_fault(
        &format!("{SINK}---\n{SINK}"),
        "a.yaml:10:35: metadata.name: shop/orders is declared twice",
    );
    // Sinks and domains have names apart.
    let same = SINK.replace("orders", "links");
    let loaded = load(folder(&[("a.yaml", &format!("{MINIMAL}---\n{same}"))]).path());
    assert!(loaded.is_ok());
}

// === After an earlier load ===

/// Loads the first text, then the second after it.
fn edited(first: &str, second: &str) -> Loaded {
    let folder = folder(&[("a.yaml", first)]);
    let checkers = Checkers::default();
    let before = load(folder.path()).expect("the first loads");
    fs::write(folder.path().join("a.yaml"), second).expect("written");
    load_after(
        folder.path(),
        &checkers,
        Some((&before.snapshot, &before.baseline.carried)),
    )
    .expect("the second loads")
}

#[test]
fn a_renamed_host_goes_on_answering() {
    let loaded = edited(MINIMAL, &MINIMAL.replace("links.shop", "go.shop"));
    let domain = loaded
        .snapshot
        .by_host("links.shop.example")
        .expect("the former host answers");
    assert_eq!(domain.host.as_str(), "go.shop.example");
}

#[test]
fn case_85_a_domain_that_is_gone_leads_home_and_records_nothing() {
    let loaded = edited(&(MINIMAL.to_owned() + "  clicks: {enabled: true}\n"), "");
    let domain = loaded
        .snapshot
        .by_host("links.shop.example")
        .expect("it leads home");
    assert_eq!(domain.state, DomainState::Retired);
    assert!(!domain.records_clicks());
    assert_eq!(loaded.retired, ["shop/links".parse().expect("a realm")]);
}

#[test]
fn a_domain_that_said_forget_is_given_up() {
    let loaded = edited(&(MINIMAL.to_owned() + "  deletionPolicy: Forget\n"), "");
    assert!(loaded.snapshot.is_empty());
}

#[test]
fn a_host_declared_anew_belongs_to_who_declares_it() {
    let loaded = edited(MINIMAL, &MINIMAL.replace("name: links", "name: heir"));
    assert_eq!(realms(&loaded), ["shop/heir"]);
    let told: Vec<_> = loaded.notices.iter().map(Notice::to_string).collect();
    let lost = |told: &&String| told.contains("shop/links's and is shop/heir's now");
    assert_eq!(told.iter().filter(lost).count(), 1, "{told:?}");
}
