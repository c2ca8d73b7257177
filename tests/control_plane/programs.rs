//! Both programs with the rights of their own ServiceAccounts, as shipped.

use mailtrail_tests::{ControlPlane, Install, Namespace};
use serde_json::{Value, json};

/// What was refused for want of a right, as either program's log would say it.
fn refusals(log: &str) -> Vec<&str> {
    let refused = |line: &&str| ["forbidden", "Forbidden"].iter().any(|w| line.contains(w));
    log.lines().filter(refused).collect()
}

/// The first write of either program that was refused for want of a right.
fn first_refused_write(plane: &ControlPlane, namespace: &str) -> Option<Value> {
    let ours = format!("system:serviceaccount:{namespace}:");
    let refused = |line: &Value| {
        let user = line["user"]["username"].as_str().unwrap_or_default();
        user.starts_with(&ours) && line["responseStatus"]["code"] == 403
    };
    plane.audit().into_iter().find(refused)
}

#[test]
fn both_programs_do_all_of_their_work_with_the_rights_that_are_shipped() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "programs");
    let shop = Namespace::new(plane, "shop");
    let operator = install.operator();
    let replica = install.replica();
    let host = format!("links.{}.example", shop.name());
    let spec = json!({"host": host, "clicks": {"enabled": true}, "verification": "None"});
    install.apply(shop.name(), "links", &spec);
    install.wait_programmed(shop.name(), "links");

    let realm = format!("{}/links", shop.name());
    let html = "<a href=\"https://shop.example/offer\">Look</a>";
    let mail = json!({"domain": realm, "message_id": "m", "html": html});
    let token = shop.caller("mailer", &["create rewrites"]);
    let mail = replica.program().post_as(&token, "/v1/rewrite", &mail);
    assert_eq!(mail.status, 200, "{}", mail.text());
    let report = &mail.json()["report"];
    let link = report["links"][0]["url"]
        .as_str()
        .expect("a link")
        .to_owned();
    assert!(link.contains(&host), "{link}");
    assert_eq!(replica.program().follow(&link).status, 302);

    // It goes again, and nothing of it was refused.
    plane
        .ask("DELETE", &shop.path("trackingdomains/links"), None)
        .taken();
    let claim = format!("/apis/mailtrail.dev/v1alpha1/hostclaims/{host}");
    plane.wait_for("the claim is retired", mailtrail_tests::PATIENCE, |plane| {
        plane.get_json(&claim)["spec"]["state"] == "Retired"
    });
    assert_eq!(replica.program().follow(&link).status, 302);
    assert_eq!(refusals(&operator.log()), Vec::<&str>::new());
    assert_eq!(refusals(&replica.program().log()), Vec::<&str>::new());
    if plane.is_own() {
        assert_eq!(first_refused_write(plane, install.class()), None);
    }
    assert!(operator.stop().success());
    plane.ask("DELETE", &claim, None).taken();
}
