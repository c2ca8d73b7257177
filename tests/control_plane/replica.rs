//! A replica of the data plane and a real API server: its configuration, its
//! callers, with the rights that are shipped and no operator.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mailtrail_core::keyring::Keyring;
use mailtrail_tests::{ControlPlane, Flags, Namespace, PATIENCE, Program};
use serde_json::{Value, json};
use tempfile::TempDir;

const COUNT: u16 = 3;

/// An install of which only the data plane runs.
struct Install<'a> {
    plane: &'a ControlPlane,
    namespace: Namespace<'a>,
    /// The data plane's own, made while the API server is there.
    kubeconfig: PathBuf,
    folder: TempDir,
}

impl<'a> Install<'a> {
    fn new(plane: &'a ControlPlane) -> Self {
        let namespace = Namespace::install(plane, "replica");
        let folder = TempDir::new().expect("a folder");
        Self {
            kubeconfig: namespace.dataplane_kubeconfig(),
            plane,
            namespace,
            folder,
        }
    }

    fn keyring_file(&self) -> PathBuf {
        self.folder.path().join("keyring.json")
    }

    fn write_keyring(&self) {
        let mut random = [5; 35];
        random[9] = 6;
        let keyring = Keyring::generate(random).expect("a keyring");
        let beside = self.keyring_file().with_extension("new");
        fs::write(&beside, keyring.to_document()).expect("written");
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).expect("ours");
        fs::rename(&beside, self.keyring_file()).expect("in place");
    }

    fn flags(&self) -> Flags {
        let data = self.folder.path().join("data");
        Flags::of_cluster(self.namespace.name(), &self.kubeconfig, data)
            .with("--keyring", self.keyring_file().to_str().expect("text"))
    }

    fn create(&self, index: u16, entries: Value) {
        let object = json!({
            "apiVersion": "mailtrail.dev/v1alpha1",
            "kind": "ConfigShard",
            "metadata": {"name": name(index)},
            "spec": {"version": 1, "index": index, "count": COUNT, "entries": entries},
        });
        let path = self.namespace.path("configshards");
        self.plane.create(&path, &object);
    }

    fn create_all(&self, entries_of_first: Value) {
        self.create(0, entries_of_first);
        for index in 1..COUNT {
            self.create(index, json!([]));
        }
    }

    fn path(&self, index: u16) -> String {
        self.namespace
            .path(&format!("configshards/{}", name(index)))
    }

    fn set(&self, index: u16, spec: Value) {
        self.plane.merge(&self.path(index), &json!({"spec": spec}));
    }
}

fn name(index: u16) -> String {
    format!("config-{index:04}")
}

fn entry(realm: &str, host: &str, generation: i64) -> Value {
    json!({
        "version": 1,
        "realm": realm,
        "generation": generation,
        "host": host,
        "verified": true,
        "opens": {"enabled": true},
        "clicks": {"enabled": true, "linksMax": 100},
        "retentionDays": 45,
    })
}

fn ready_says(program: &Program) -> String {
    program.get(program.admin(), "/ready").text()
}

/// The generation that a domain is served in; nothing where it is not.
fn served(program: &Program, realm: &str) -> Option<i64> {
    let config = program.get(program.admin(), "/config").json();
    let domains = config["domains"].as_array().expect("a list");
    let domain = domains.iter().find(|domain| domain["realm"] == realm);
    domain.and_then(|domain| domain["generation"].as_i64())
}

fn until_served(program: &Program, realm: &str, generation: i64) {
    program.until("it is served", |program| {
        served(program, realm) == Some(generation)
    });
}

#[test]
fn a_replica_says_what_it_waits_for_and_follows_each_change() {
    let install = Install::new(ControlPlane::shared());
    let program = install.flags().start_unready();
    program.until("it says that the keyring is missing", |program| {
        ready_says(program).starts_with("waiting for the keyring: ")
    });
    install.write_keyring();
    program.until("it says that shards are missing", |program| {
        ready_says(program).starts_with("waiting for configuration: too few shards")
    });
    install.create(0, json!([entry("shop/links", "links.example", 1)]));
    install.create(1, json!([]));
    program.until("it says how many are missing", |program| {
        ready_says(program) == "waiting for configuration: 2 of 3 shards\n"
    });
    assert_eq!(served(&program, "shop/links"), Some(1));
    install.create(2, json!([]));
    program.until("ready", Program::is_ready);
    let mut slowest = Duration::ZERO;
    for generation in 2..32 {
        let entries = json!([entry("shop/links", "links.example", generation)]);
        install.set(0, json!({"entries": entries}));
        let written = Instant::now();
        until_served(&program, "shop/links", generation);
        slowest = slowest.max(written.elapsed());
    }
    println!("slowest of 30 changes: {slowest:?}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}

#[test]
fn what_is_wrong_or_deleted_holds_up_nothing_and_comes_back() {
    let install = Install::new(ControlPlane::shared());
    install.write_keyring();
    install.create_all(json!([entry("shop/links", "links.example", 1)]));
    let program = install.flags().start();
    assert_eq!(served(&program, "shop/links"), Some(1));
    // By hand: the wrong number in an object.
    install.set(0, json!({"index": 2, "entries": []}));
    program.until("the log says so", |program| {
        program.log().contains("must be named config-0002")
    });
    install.set(
        1,
        json!({"entries": [entry("blog/mail", "mail.example", 1)]}),
    );
    until_served(&program, "blog/mail", 1);
    assert_eq!(served(&program, "shop/links"), Some(1));
    // By hand: gone.
    let gone = install.plane.ask("DELETE", &install.path(1), None);
    gone.taken();
    program.until("the log says so", |program| {
        program.log().contains("was deleted")
    });
    assert_eq!(served(&program, "blog/mail"), Some(1));
    // Made anew, its generation begins again.
    install.create(1, json!([entry("blog/mail", "mail.example", 2)]));
    until_served(&program, "blog/mail", 2);
    install.set(0, json!({"index": 0, "entries": []}));
    program.until("it is given up", |program| {
        served(program, "shop/links").is_none()
    });
    assert!(program.stop().success());
}

#[test]
fn with_the_api_server_away_a_replica_serves_on_and_starts() {
    let plane = ControlPlane::own();
    plane.crds();
    let install = Install::new(&plane);
    install.write_keyring();
    install.create_all(json!([entry("shop/links", "links.example", 1)]));
    let program = install.flags().start();
    until_served(&program, "shop/links", 1);
    let kept = install.folder.path().join("data/shards/0000.json");
    program.until("it is kept", |_| kept.exists());
    plane.kill_api();
    assert_eq!(served(&program, "shop/links"), Some(1));
    assert!(program.stop().success());
    // Ready at once, from the disk.
    let begun = Instant::now();
    let program = install.flags().start();
    println!("ready without the API server after {:?}", begun.elapsed());
    assert_eq!(served(&program, "shop/links"), Some(1));
    plane.restart_api();
    install.set(
        0,
        json!({"entries": [entry("shop/links", "links.example", 2)]}),
    );
    plane.wait_for("the change comes", 2 * PATIENCE, |_| {
        served(&program, "shop/links") == Some(2)
    });
}

/// A rule on our virtual subresources, as roles have it.
fn rule(verb: &str, subresource: &str) -> Value {
    let resource = format!("trackingdomains/{subresource}");
    json!({"apiGroups": ["mailtrail.dev"], "resources": [resource], "verbs": [verb]})
}

/// A ServiceAccount `mailer` with a role of these rules; gives the role's path.
fn mailer(plane: &ControlPlane, namespace: &Namespace<'_>, rules: &[Value]) -> String {
    let name = namespace.name();
    plane.kubectl(&["create", "serviceaccount", "mailer", "-n", name]);
    let rbac = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{name}");
    let role = json!({"metadata": {"name": "mailer"}, "rules": rules});
    plane.create(&format!("{rbac}/roles"), &role);
    let binding = json!({
        "metadata": {"name": "mailer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "mailer"},
        "subjects": [{"kind": "ServiceAccount", "name": "mailer", "namespace": name}],
    });
    plane.create(&format!("{rbac}/rolebindings"), &binding);
    format!("{rbac}/roles/mailer")
}

/// GET of the API with a bearer token: status and body.
fn get_as(program: &Program, token: &str, path: &str) -> (u16, Value) {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    let agent: ureq::Agent = config.build().into();
    let mut response = agent
        .get(format!("http://{}{path}", program.api()))
        .header("authorization", format!("Bearer {token}"))
        .call()
        .expect("an answer");
    let body = response.body_mut().read_json().expect("JSON");
    (response.status().as_u16(), body)
}

#[test]
fn callers_are_the_clusters_accounts_and_its_roles_say_what_they_may() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane);
    install.write_keyring();
    let (shop, blog) = (Namespace::new(plane, "shop"), Namespace::new(plane, "blog"));
    let realm = |namespace: &Namespace<'_>| format!("{}/links", namespace.name());
    install.create_all(json!([
        entry(&realm(&shop), "links.shop.example", 1),
        entry(&realm(&blog), "links.blog.example", 1),
    ]));
    let program = install.flags().start();
    let role = mailer(plane, &shop, &[rule("create", "rewrites")]);
    let token = |audience: &str| plane.service_account_token(shop.name(), "mailer", audience, 600);
    let (ours, for_others) = (token("mailtrail"), token(""));
    let rewrite = |token: &str, domain: &str| {
        let mail = json!({"domain": domain, "message_id": "m", "html": "<p>Hello</p>"});
        program.post_as(token, "/v1/rewrite", &mail).status
    };
    assert_eq!(rewrite(&ours, &realm(&shop)), 200, "{}", program.log());
    assert_eq!(rewrite(&ours, &realm(&blog)), 403);
    assert_eq!(rewrite(&ours, "nobody/nothing"), 403);
    assert_eq!(rewrite(&for_others, &realm(&shop)), 401);
    assert_eq!(rewrite("not.a.token", &realm(&shop)), 401);
    // Who may have mails rewritten may not read for that.
    let events = format!("/v1/domains/{}/events", realm(&shop));
    assert_eq!(get_as(&program, &ours, &events).0, 403);
    assert_eq!(
        get_as(&program, &ours, "/v1/domains").1["domains"],
        json!([])
    );
    // Granted later, it works once the denial is no longer believed.
    let rules = [rule("create", "rewrites"), rule("get", "events")];
    plane.merge(&role, &json!({"rules": rules}));
    plane.wait_for("it is granted", PATIENCE, |_| {
        get_as(&program, &ours, &events).0 == 200
    });
    // A list shows the namespace that may be read, and no other.
    plane.wait_for("it is listed", PATIENCE, |_| {
        let (status, list) = get_as(&program, &ours, "/v1/domains");
        let domains = list["domains"].as_array().expect("a list");
        assert_eq!(status, 200);
        assert!(
            domains
                .iter()
                .all(|domain| domain["domain"] == realm(&shop))
        );
        !domains.is_empty()
    });
    let said = program.log();
    assert!(!said.contains(&ours) && !said.contains("mailer"), "{said}");
}

/// Takes the minute that a grant is believed.
#[test]
fn what_is_revoked_is_refused_within_a_minute() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane);
    install.write_keyring();
    let shop = Namespace::new(plane, "revoked");
    let realm = format!("{}/links", shop.name());
    install.create_all(json!([entry(&realm, "links.revoked.example", 1)]));
    let program = install.flags().start();
    let role = mailer(plane, &shop, &[rule("get", "events")]);
    let token = plane.service_account_token(shop.name(), "mailer", "mailtrail", 600);
    let status = || get_as(&program, &token, &format!("/v1/domains/{realm}")).0;
    assert_eq!(status(), 200, "{}", program.log());
    plane.merge(&role, &json!({"rules": []}));
    let revoked = Instant::now();
    plane.wait_for("it is refused", Duration::from_secs(75), |_| {
        status() == 403
    });
    let took = revoked.elapsed();
    println!("refused after {took:?}");
    // The roles reach the API server's own authorizer a moment later.
    assert!(took < Duration::from_secs(62), "{took:?}");
}
