//! What a person does, from the first `kubectl apply` to a domain made again.

use std::time::Duration;

use mailtrail_tests::{ControlPlane, Install, Namespace, Program};
use serde_json::Value;

use crate::callers::owner_token;
use crate::{leads_home, mail, tracked_link};

/// A person at work: `kubectl` and the API, and what came of it.
struct Person<'a> {
    plane: &'a ControlPlane,
    shop: Namespace<'a>,
    manifest: String,
    host: String,
    token: String,
}

impl<'a> Person<'a> {
    /// With an account that may rewrite and read in the shop's namespace.
    fn new(plane: &'a ControlPlane, class: &str) -> Self {
        let shop = Namespace::new(plane, "shop");
        let host = format!("links.{}.example", shop.name());
        let manifest = format!(
            "apiVersion: mailtrail.dev/v1alpha1\nkind: TrackingDomain\nmetadata: {{name: links, namespace: {}}}\nspec:\n  className: {class}\n  host: {host}\n  verification: None\n  opens: {{enabled: true}}\n  clicks: {{enabled: true}}\n",
            shop.name(),
        );
        Self {
            token: owner_token(&shop),
            plane,
            shop,
            manifest,
            host,
        }
    }

    fn kubectl(&self, flags: &[&str]) {
        let namespace = ["-n", self.shop.name()];
        self.plane.kubectl(&[flags, &namespace[..]].concat());
    }

    fn apply_and_wait(&self) {
        self.plane.apply(&self.manifest);
        self.wait_programmed();
    }

    fn wait_programmed(&self) {
        let condition = "--for=condition=Programmed";
        self.kubectl(&["wait", "td/links", "--timeout=30s", condition]);
    }

    fn domain(&self) -> String {
        format!("{}/links", self.shop.name())
    }

    fn rewrite(&self, program: &Program, message: &str) -> Value {
        let mail = mail(&self.domain(), message);
        let answer = program.post_as(&self.token, "/v1/rewrite", &mail);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// The types of the events, once there are so many.
    fn event_types(&self, program: &Program, count: usize) -> Vec<String> {
        let path = format!("/v1/domains/{}/events", self.domain());
        let mut types = Vec::new();
        program.until("all events are there", |program| {
            let page = program.get_as(&self.token, &path).json();
            let events = page["events"].as_array().expect("a list").iter();
            types = events
                .map(|event| event["type"].as_str().unwrap_or_default().to_owned())
                .collect();
            types.len() == count
        });
        types.sort_unstable();
        types
    }

    fn wait_retired(&self) {
        let path = format!("/apis/mailtrail.dev/v1alpha1/hostclaims/{}", self.host);
        let patience = Duration::from_secs(20);
        self.plane
            .wait_for("the domain is retired", patience, |plane| {
                plane.get_json(&path)["spec"]["state"] == "Retired"
            });
    }
}

#[test]
fn a_domain_is_applied_used_flipped_deleted_and_made_again() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "person");
    let _operator = install.operator();
    let replica = install.replica();
    let program = replica.program();
    let person = Person::new(plane, install.class());
    person.apply_and_wait();

    // A mail is rewritten, opened, clicked, and read about.
    let first = person.rewrite(program, "m-1");
    let link = tracked_link(&first).expect("clicks are on");
    let pixel = first["report"]["pixel"]["url"]
        .as_str()
        .expect("opens are on");
    assert_eq!(program.follow(pixel).status, 200);
    assert!(leads_home(program, &link));
    assert_eq!(person.event_types(program, 2), ["clicked", "opened"]);

    // A toggle is flipped, and the next rewrite obeys; the old link leads home.
    let patch = r#"{"spec":{"clicks":{"enabled":false}}}"#;
    person.kubectl(&["patch", "td", "links", "--type=merge", "-p", patch]);
    person.wait_programmed();
    assert!(tracked_link(&person.rewrite(program, "m-2")).is_none());
    assert!(leads_home(program, &link));

    // Deleted: retired, and still home.
    person.kubectl(&["delete", "td", "links"]);
    person.wait_retired();
    program.until("nothing is tracked any more", |program| {
        tracked_link(&person.rewrite(program, "m-3")).is_none()
    });
    assert!(leads_home(program, &link));

    // And made again.
    person.apply_and_wait();
    assert!(tracked_link(&person.rewrite(program, "m-4")).is_some());
    assert!(leads_home(program, &link));
}
