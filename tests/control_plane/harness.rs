//! The control plane itself: nothing is left behind, and an API server can be
//! taken away and given back.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mailtrail_tests::{ControlPlane, FakePod, Namespace, PATIENCE, PodSpec, root};
use serde_json::{Value, json};

/// Processes that work in this folder, or have it in their command line.
fn processes_of(folder: &str) -> usize {
    let entries = fs::read_dir("/proc").expect("Linux");
    let of_it = |entry: &fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let works_in = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        works_in.starts_with(folder) || String::from_utf8_lossy(&line).contains(folder)
    };
    entries.flatten().filter(of_it).count()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Where its caller ends while it starts, and where it is killed itself: a test
/// process that is killed runs no destructor, and all that ends is the pipe.
#[test]
fn a_start_that_is_cut_short_leaves_no_process_behind() {
    let programs = Command::new(root().join("tests/cluster/build.sh")).output();
    let programs = String::from_utf8(programs.expect("built").stdout).expect("text");
    let cut_short = |name: &str, cut: &dyn Fn(&mut Child)| {
        let folder = std::env::temp_dir().join(format!("mailtrail-{name}-{}", std::process::id()));
        let mut child = Command::new(root().join("tests/cluster/cluster.sh"))
            .env_remove("MAILTRAIL_TEST_KUBECONFIG")
            .args([
                "hold".as_ref(),
                folder.as_os_str(),
                programs.trim().as_ref(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        until("etcd runs", || folder.join("etcd.pid").exists());
        cut(&mut child);
        child.wait().expect("it ends");
        let name = folder.to_str().expect("text").to_owned();
        until("all of it is gone", || processes_of(&name) == 0);
        folder
    };
    let left = cut_short("closed", &|child| drop(child.stdin.take()));
    assert!(!left.exists());
    let left = cut_short("killed", &|child| child.kill().expect("it runs"));
    fs::remove_dir_all(left).expect("nobody was left to remove it");
}

#[test]
fn an_api_server_goes_and_comes_back_with_what_it_held_until_all_of_it_goes() {
    let plane = ControlPlane::own();
    let kubeconfig = plane.kubeconfig();
    let folder = kubeconfig.parent().expect("a folder");
    let name = folder.to_str().expect("text");
    assert!(processes_of(name) >= 3, "etcd, API server, cluster.sh");
    let namespace = Namespace::new(&plane, "kept");
    let address = server(&plane);
    plane.kill_api();
    until("nobody listens", || TcpStream::connect(&address).is_err());
    plane.restart_api();
    plane.get_json(&format!("/api/v1/namespaces/{}", namespace.name()));

    plane.pause_api();
    let asked = plane.kubectl_tried(&["get", "ns", "--request-timeout=300ms"], "");
    assert!(!asked.status.success(), "{asked:?}");
    plane.resume_api();
    plane.kubectl(&["get", "ns"]);

    drop(namespace);
    drop(plane);
    assert_eq!(processes_of(name), 0);
    assert!(!folder.exists());
}

fn server(plane: &ControlPlane) -> String {
    let flags = [
        "config",
        "view",
        "--minify",
        "-o",
        "jsonpath={.clusters[0].cluster.server}",
    ];
    plane.kubectl(&flags).replace("https://", "")
}

#[test]
fn writes_stand_in_the_audit_log_with_who_made_them() {
    let plane = ControlPlane::shared();
    if !plane.is_own() {
        eprintln!("passed over: the audit log of a cluster that was given is not ours");
        return;
    }
    let install = Namespace::install(plane, "audit");
    let lease = format!(
        "{{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {{name: one, namespace: {}}}}}",
        install.name()
    );
    let kubeconfig = install.operator_kubeconfig();
    let made = plane.kubectl_as(&kubeconfig, &["create", "-f", "-"], &lease);
    assert!(made.status.success(), "{made:?}");
    let audit = plane.audit();
    let lines: Vec<&Value> = audit
        .iter()
        .filter(|line| line["objectRef"]["namespace"] == install.name())
        .filter(|line| line["objectRef"]["resource"] == "leases")
        .collect();
    let [line] = lines[..] else {
        panic!("{lines:#?}")
    };
    let user = format!(
        "system:serviceaccount:{}:mailtrail-operator",
        install.name()
    );
    assert_eq!(line["user"]["username"], user);
    assert_eq!(line["verb"], "create");
    assert_eq!(line["responseStatus"]["code"], 201);
}

#[test]
fn a_pod_without_a_node_says_where_it_is_and_ends_as_told() {
    let plane = ControlPlane::shared();
    let install = Namespace::install(plane, "pods");
    let spec = PodSpec::of_dataplane("one", "127.0.0.9:4321".parse().expect("an address"));
    let pod = FakePod::new(plane, &install, &spec);
    let read = || plane.find_json(&install.core_path("pods/one"));
    let found = read().expect("made");
    assert_eq!(found["metadata"]["uid"], pod.uid());
    assert_eq!(found["status"]["podIP"], "127.0.0.9");
    assert_eq!(found["status"]["conditions"][0]["status"], "True");
    assert_eq!(
        found["spec"]["containers"][0]["ports"][0]["containerPort"],
        4321
    );
    pod.set_ready(false);
    assert_eq!(
        read().expect("there")["status"]["conditions"][0]["status"],
        "False"
    );
    pod.terminate();
    assert!(read().expect("there")["metadata"]["deletionTimestamp"].is_string());
    drop(pod);
    assert!(read().is_none());
}

#[test]
fn a_mirrored_secret_follows_its_secret() {
    let plane = ControlPlane::shared();
    let namespace = Namespace::new(plane, "mirror");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keyring.json");
    let mirror = plane.mirror_secret(&namespace, "ring", "keyring.json", &file, Duration::ZERO);
    assert!(!file.exists());
    let secret = json!({"metadata": {"name": "ring"}, "stringData": {"keyring.json": "one"}});
    plane.create(&namespace.core_path("secrets"), &secret);
    let holds = |text: &str| fs::read(&file).is_ok_and(|bytes| bytes == text.as_bytes());
    until("the file is there", || holds("one"));
    let path = namespace.core_path("secrets/ring");
    plane.merge(&path, &json!({"stringData": {"keyring.json": "two"}}));
    until("the file follows", || holds("two"));
    drop(mirror);
    assert!(holds("two"));
}

#[test]
fn a_token_is_for_whom_it_was_made_and_for_its_audience() {
    let plane = ControlPlane::shared();
    let install = Namespace::install(plane, "tokens");
    let token =
        plane.service_account_token(install.name(), "mailtrail-dataplane", "mailtrail", 600);
    let review = |audience: &str| {
        let object = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        });
        plane.create("/apis/authentication.k8s.io/v1/tokenreviews", &object)["status"].clone()
    };
    let good = review("mailtrail");
    assert_eq!(good["authenticated"], true);
    let user = format!(
        "system:serviceaccount:{}:mailtrail-dataplane",
        install.name()
    );
    assert_eq!(good["user"]["username"], user);
    assert_ne!(review("other")["authenticated"], true);
}
