//! What a person does, from the first `kubectl apply` to a domain made again.

use std::time::Duration;

use mailtrail_tests::{ControlPlane, Install, Namespace};
use serde_json::Value;

use crate::{leads_home, mail, tracked_link};

#[test]
fn a_domain_is_applied_used_flipped_deleted_and_made_again() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "person");
    let shop = Namespace::new(plane, "shop");
    let host = format!("links.{}.example", shop.name());
    let domain = format!("{}/links", shop.name());
    let _operator = install.operator();
    let replica = install.replica();
    let program = replica.program();

    // kubectl apply, kubectl wait.
    let manifest = format!(
        "apiVersion: mailtrail.dev/v1alpha1\nkind: TrackingDomain\nmetadata: {{name: links, namespace: {}}}\nspec:\n  className: {}\n  host: {host}\n  verification: None\n  opens: {{enabled: true}}\n  clicks: {{enabled: true}}\n",
        shop.name(),
        install.class(),
    );
    plane.apply(&manifest);
    let wait = [
        "wait",
        "td/links",
        "-n",
        shop.name(),
        "--timeout=30s",
        "--for=condition=Programmed",
    ];
    plane.kubectl(&wait);

    // A ServiceAccount of the shop may rewrite and read.
    plane.kubectl(&["create", "sa", "mailer", "-n", shop.name()]);
    let rights = [
        "create",
        "role",
        "mailer",
        "-n",
        shop.name(),
        "--verb=create,get",
        "--resource=trackingdomains.mailtrail.dev/rewrites,trackingdomains.mailtrail.dev/events",
    ];
    plane.kubectl(&rights);
    let account = format!("--serviceaccount={}:mailer", shop.name());
    let bind = [
        "create",
        "rolebinding",
        "mailer",
        "-n",
        shop.name(),
        "--role=mailer",
        &account,
    ];
    plane.kubectl(&bind);
    let token = plane.service_account_token(shop.name(), "mailer", "mailtrail", 600);
    let rewrite = |message: &str| {
        let answer = program.post_as(&token, "/v1/rewrite", &mail(&domain, message));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let first = rewrite("m-1");
    let link = tracked_link(&first).expect("clicks are on");
    let pixel = first["report"]["pixel"]["url"]
        .as_str()
        .expect("opens are on");

    // Opened, clicked, and read about.
    assert_eq!(program.follow(pixel).status, 200);
    assert!(leads_home(program, &link));
    let path = format!("/v1/domains/{domain}/events");
    let mut types = Vec::new();
    program.until("both events are there", |program| {
        let page = program.get_as(&token, &path).json();
        let events = page["events"].as_array().expect("a list").iter();
        types = events.map(|event| event["type"].clone()).collect();
        types.len() == 2
    });
    types.sort_by_key(Value::to_string);
    assert_eq!(types, ["clicked", "opened"]);

    // A toggle is flipped, and the next rewrite obeys; the old link leads home.
    let patch = r#"{"spec":{"clicks":{"enabled":false}}}"#;
    let flip = [
        "patch",
        "td",
        "links",
        "-n",
        shop.name(),
        "--type=merge",
        "-p",
        patch,
    ];
    plane.kubectl(&flip);
    plane.kubectl(&wait);
    assert!(tracked_link(&rewrite("m-2")).is_none());
    assert!(leads_home(program, &link));

    // Deleted: retired, and still home.
    plane.kubectl(&["delete", "td", "links", "-n", shop.name()]);
    plane.wait_for("the domain is retired", Duration::from_secs(10), |plane| {
        let claim = plane.get_json(&format!("/apis/mailtrail.dev/v1alpha1/hostclaims/{host}"));
        claim["spec"]["state"] == "Retired"
    });
    assert!(leads_home(program, &link));
    let answer = program.post_as(&token, "/v1/rewrite", &mail(&domain, "m-3"));
    assert!(tracked_link(&answer.json()).is_none(), "{}", answer.text());

    // And made again.
    plane.apply(&manifest);
    plane.kubectl(&wait);
    assert!(tracked_link(&rewrite("m-4")).is_some());
    assert!(leads_home(program, &link));
}
