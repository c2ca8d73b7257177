//! TRACKING.md, section 6, as far as neither a verdict, MIME nor a cluster is
//! needed.

use jiff::Timestamp;
use mailtrail_core::config::{AddressDetail, AndroidApp, DomainState};
use mailtrail_core::event::EventKind;
use mailtrail_core::id::LinkPosition;
use mailtrail_core::keyring::Keyring;
use mailtrail_core::proof::{self, Challenge};
use mailtrail_core::target::Target;
use mailtrail_core::token::{Claim, Hour, Keys, Mail, Purpose};
use mailtrail_dataplane::serve::{PIXEL, UnknownKeys};
use mailtrail_dataplane::store::Withdrawn;

use crate::client::Response;
use crate::world::{
    HOST, NOW_SECONDS, OTHER_HOST, TARGET, World, keyring, link, mail, token_of, wanted, world,
};

fn is_pixel(response: &Response) {
    assert_eq!(response.status, 200);
    assert_eq!(
        response.head(),
        [
            ("cache-control", "no-store"),
            ("content-length", "43"),
            ("content-type", "image/gif"),
        ]
    );
    assert_eq!(response.body, PIXEL);
}

fn is_redirect(response: &Response) {
    assert_eq!(response.status, 302, "{response:?}");
    assert_eq!(
        response.head(),
        [
            ("cache-control", "no-store"),
            ("content-length", "0"),
            ("location", TARGET),
            ("referrer-policy", "no-referrer"),
            ("x-robots-tag", "noindex, nofollow"),
        ]
    );
    assert!(response.body.is_empty());
}

fn is_not_found(response: &Response) {
    assert_eq!(response.status, 404, "{response:?}");
    assert_eq!(response.header("location"), None);
    assert_eq!(response.header("cache-control"), Some("no-store"));
}

/// Another letter in the middle of a token.
fn tampered(path: &str) -> String {
    let at = path.len() / 2;
    let other = if path.as_bytes()[at] == b'0' {
        '1'
    } else {
        '0'
    };
    let mut path = path.to_owned();
    path.replace_range(at..=at, &other.to_string());
    path
}

fn sent_days_ago(days: i64) -> Mail {
    Mail {
        sent: Hour::from_unix_seconds(NOW_SECONDS - days * 24 * 60 * 60),
        ..mail()
    }
}

#[test]
fn case_78_a_valid_pixel_is_a_gif_and_its_open_is_recorded() {
    let world = world();
    is_pixel(&world.get(&world.pixel_path()));
    let events = world.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].kind, EventKind::Opened);
    assert_eq!(events[0].message_id.as_str(), "m-1");
    assert_eq!(events[0].host.as_str(), HOST);
    assert_eq!(
        events[0].time,
        Timestamp::new(NOW_SECONDS, 0).expect("time")
    );
    assert!(events[0].link.is_none());
}

#[test]
fn case_79_a_pixel_that_does_not_open_is_the_same_gif_and_counted() {
    let world = world();
    for path in [
        tampered(&world.pixel_path()),
        "/o/none".to_owned(),
        "/o/!".to_owned(),
    ] {
        is_pixel(&world.get(&path));
    }
    assert_eq!(
        world.metric(r#"hits_total{route="open",outcome="refused"}"#),
        3
    );
    let old = world.token_for(sent_days_ago(46), Purpose::Open);
    is_pixel(&world.get(&format!("/o/{old}")));
    assert_eq!(
        world.metric(r#"hits_total{route="open",outcome="not_recorded"}"#),
        1
    );
    assert_eq!(world.events(), []);
}

#[test]
fn case_79_a_links_token_is_no_pixels() {
    let world = world();
    is_pixel(&world.get(&world.link_path().replace("/c/", "/o/")));
    is_not_found(&world.get(&world.pixel_path().replace("/o/", "/c/")));
    is_not_found(&world.get(&world.link_path().replace("/c/", "/a/")));
    assert_eq!(world.events(), []);
}

#[test]
fn case_80_head_has_the_same_headers_no_body_and_no_event() {
    let world = world();
    let paths = [
        world.pixel_path(),
        world.link_path(),
        "/robots.txt".to_owned(),
        "/".to_owned(),
        "/nowhere".to_owned(),
    ];
    let heads = paths.each_ref().map(|path| world.ask("HEAD", path, ""));
    assert_eq!(world.events(), []);
    for (path, head) in paths.iter().zip(heads) {
        let get = world.get(path);
        assert_eq!(
            (head.status, head.head()),
            (get.status, get.head()),
            "{path}"
        );
        assert!(head.body.is_empty());
    }
}

#[test]
fn case_81_other_methods_are_refused_with_what_is_allowed() {
    let world = world();
    for path in [
        world.pixel_path(),
        world.link_path(),
        "/robots.txt".to_owned(),
    ] {
        for method in ["POST", "PUT", "OPTIONS", "DELETE", "PATCH", "TRACE"] {
            let response = world.ask(method, &path, "content-length: 0\r\n");
            assert_eq!(response.status, 405, "{method} {path}");
            assert_eq!(response.header("allow"), Some("GET, HEAD"));
            assert_eq!(response.header("location"), None);
        }
    }
    let withdraw = format!("/w/{}", world.token(Purpose::Withdraw));
    let response = world.ask("PUT", &withdraw, "content-length: 0\r\n");
    assert_eq!(response.header("allow"), Some("GET, HEAD, POST"));
    assert_eq!(world.events(), []);
}

#[test]
fn case_82_a_valid_link_redirects_and_its_click_is_recorded() {
    let world = world();
    is_redirect(&world.get(&world.link_path()));
    let events = world.events();
    assert_eq!(events.len(), 1);
    let link = events[0].link.as_ref().expect("a link");
    assert_eq!(events[0].kind, EventKind::Clicked);
    assert_eq!(
        (link.target.as_str(), link.position),
        (TARGET, LinkPosition(3))
    );
}

#[test]
fn case_83_a_tampered_link_is_a_page_with_the_fallback_as_a_plain_link() {
    let world = world();
    let path = tampered(&world.link_path());
    let bare = world.get(&path);
    is_not_found(&bare);
    assert!(!bare.text().contains("href"), "{}", bare.text());
    world.reload(|domain| {
        domain.fallback = Some(Target::parse("https://shop.example/?a=1&b=2").expect("target"));
    });
    let page = world.get(&path);
    is_not_found(&page);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(
        page.text()
            .contains(r#"href="https://shop.example/?a=1&amp;b=2""#),
        "{}",
        page.text()
    );
    let token = path.strip_prefix("/c/").expect("a link");
    assert!(!page.text().contains(&token[..16]), "reflected");
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
    assert_eq!(world.events(), []);
}

#[test]
fn case_84_with_the_store_away_links_lead_home_and_what_is_not_kept_is_counted() {
    let world = world();
    is_redirect(&world.get(&world.link_path()));
    let closed = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(world.store.close());
    assert_eq!(closed, Ok(()));
    is_redirect(&world.get(&world.link_path()));
    is_pixel(&world.get(&world.pixel_path()));
    assert_eq!(world.metric("events_not_kept_total"), 2);
    for (route, outcome, count) in [
        ("click", "recorded", 1),
        ("click", "not_kept", 1),
        ("open", "not_kept", 1),
    ] {
        let metric = format!("hits_total{{route=\"{route}\",outcome=\"{outcome}\"}}");
        assert_eq!(world.metric(&metric), count, "{metric}");
    }
}

#[test]
fn case_85_where_nothing_is_recorded_the_link_still_leads_home() {
    let world = world();
    is_redirect(&world.get(&format!(
        "/c/{}",
        world.token_for(sent_days_ago(400), Purpose::Click(link()))
    )));
    world.reload(|domain| domain.clicks.enabled = false);
    is_redirect(&world.get(&world.link_path()));
    world.reload(|domain| domain.opens.enabled = false);
    is_pixel(&world.get(&world.pixel_path()));
    world.reload(|domain| {
        domain.clicks.enabled = true;
        domain.opens.enabled = true;
        domain.state = DomainState::Retired;
    });
    is_redirect(&world.get(&world.link_path()));
    is_pixel(&world.get(&world.pixel_path()));
    assert_eq!(world.events(), []);
    assert_eq!(
        world.metric(r#"hits_total{route="click",outcome="not_recorded"}"#),
        3
    );
}

#[test]
fn case_85_after_a_key_rotation_the_click_is_recorded_as_ever() {
    let world = world();
    let path = world.link_path();
    let newer = keyring(7).merge(&keyring(9)).expect("a keyring");
    world.live.replace_keys(Keys::new(newer));
    is_redirect(&world.get(&path));
    assert_eq!(world.events().len(), 1);
}

#[test]
fn case_86_what_mail_clients_glue_to_a_link_is_tolerated() {
    let world = world();
    let path = world.link_path();
    let (begin, end) = path.split_at(path.len() - 10);
    for mangled in [
        format!("{path}="),
        format!("{path})"),
        format!("{path}."),
        format!("{path},"),
        format!("{path};"),
        format!("{path}>"),
        format!("{path}%3E"),
        format!("{path}]"),
        format!("{path}'"),
        format!("{path}\""),
        format!("{path}%22"),
        format!("{path}%3D"),
        format!("{path}%3d"),
        format!("{path}=3D"),
        format!("{path}&amp;x=1"),
        format!("{path}&amp;"),
        format!("{path}/"),
        format!("{path}>."),
        format!("/c/{}", path[3..].to_uppercase()),
        format!("{path}?utm_source=x&y"),
        format!("{path}.?utm_source=x>"),
        format!("{path}%253D"),
        format!("{begin}=%0D%0A{end}"),
        format!("{begin}={end}"),
    ] {
        is_redirect(&world.get(&mangled));
    }
}

#[test]
fn case_86_and_nothing_else_is() {
    let world = world();
    let path = world.link_path();
    for mangled in [
        format!("{path}-"),
        format!("{path}!"),
        format!("{path}0"),
        format!("{path}x1"),
        format!("{path}/more"),
        path[..path.len() - 1].to_owned(),
    ] {
        is_not_found(&world.get(&mangled));
    }
    assert_eq!(world.events(), []);
}

#[test]
fn case_93_only_trusted_hops_count_from_the_right() {
    let address = |trusted: &[&str], field: &str| {
        let mut wanted = wanted();
        wanted.settings.trusted_proxies = trusted
            .iter()
            .map(|net| net.parse().expect("net"))
            .collect();
        wanted.domain.privacy.address = AddressDetail::Full;
        let world = wanted.start();
        is_pixel(&world.ask("GET", &world.pixel_path(), field));
        world.events()[0]
            .client
            .address
            .clone()
            .expect("an address")
    };
    let forged = "x-forwarded-for: 192.0.2.66, 198.51.100.7, 10.0.0.9\r\n";
    assert_eq!(address(&[], forged), "127.0.0.1");
    assert_eq!(address(&["127.0.0.0/8"], forged), "10.0.0.9");
    assert_eq!(
        address(&["127.0.0.0/8", "10.0.0.0/8"], forged),
        "198.51.100.7"
    );
    assert_eq!(
        address(&["127.0.0.0/8"], "forwarded: for=192.0.2.66\r\n"),
        "127.0.0.1"
    );
}

#[test]
fn case_94_a_conditional_request_gets_the_whole_pixel_and_is_recorded() {
    let world = world();
    for fields in [
        "if-none-match: *\r\n",
        "if-none-match: \"x\"\r\n",
        "if-modified-since: Mon, 23 Nov 2026 00:00:00 GMT\r\n",
        "range: bytes=0-0\r\n",
    ] {
        is_pixel(&world.ask("GET", &world.pixel_path(), fields));
    }
    assert_eq!(world.events().len(), 4);
}

#[test]
fn case_95_a_token_is_bound_to_its_domain() {
    let world = world();
    is_not_found(&world.ask_host(OTHER_HOST, "GET", &world.link_path(), ""));
    is_pixel(&world.ask_host(OTHER_HOST, "GET", &world.pixel_path(), ""));
    assert_eq!(world.events(), []);
}

#[test]
fn case_95_of_an_unknown_host_nothing_is_said() {
    let world = world();
    for host in ["nowhere.example", "127.0.0.1", "localhost:80", "x"] {
        for path in [world.link_path(), world.pixel_path(), "/".to_owned()] {
            let response = world.ask_host(host, "GET", &path, "");
            is_not_found(&response);
            assert_eq!(response.text(), "Not found.\n");
        }
    }
    assert_eq!(world.events(), []);
}

#[test]
fn case_95_a_host_answers_in_any_case_with_its_port_and_under_its_aliases() {
    let world = world();
    world.reload(|domain| domain.other_hosts = vec!["old.shop.example".parse().expect("host")]);
    for host in [
        "LINKS.Shop.Example",
        "links.shop.example:8080",
        "links.shop.example.",
    ] {
        is_redirect(&world.ask_host(host, "GET", &world.link_path(), ""));
    }
    is_redirect(&world.ask_host("old.shop.example", "GET", &world.link_path(), ""));
    let hosts: Vec<_> = world.events().iter().map(|e| e.host.to_string()).collect();
    assert_eq!(hosts, [HOST, HOST, HOST, "old.shop.example"]);
}

#[test]
fn case_96_a_test_mails_hits_are_marked() {
    let world = world();
    let test = Mail {
        test: true,
        ..mail()
    };
    is_pixel(&world.get(&format!("/o/{}", world.token_for(test, Purpose::Open))));
    is_pixel(&world.get(&world.pixel_path()));
    let marks: Vec<_> = world.events().iter().map(|event| event.test).collect();
    assert_eq!(marks, [true, false]);
}

#[test]
fn case_97_without_a_recipient_the_event_is_the_messages() {
    let world = world();
    let to_many = Mail {
        recipient: None,
        ..mail()
    };
    let token = world.token_for(to_many, Purpose::Click(link()));
    is_redirect(&world.get(&format!("/c/{token}")));
    assert_eq!(world.events()[0].recipient, None);
}

#[test]
fn case_98_a_click_without_an_open_is_a_click() {
    let world = world();
    is_redirect(&world.get(&world.link_path()));
    let kinds: Vec<_> = world.events().iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Clicked]);
}

#[test]
fn case_99_apps_are_told_which_links_are_theirs() {
    let world = world();
    let (apple, android) = (
        "/.well-known/apple-app-site-association",
        "/.well-known/assetlinks.json",
    );
    is_not_found(&world.get(apple));
    is_not_found(&world.get(android));
    world.reload(|domain| {
        domain.apps.apple = vec!["TEAM123456.example.shop".to_owned()];
        domain.apps.android = vec![AndroidApp {
            package: "example.shop".to_owned(),
            sha256_fingerprints: vec!["AB:CD".to_owned()],
        }];
    });
    let json = |path| -> serde_json::Value {
        let response = world.get(path);
        assert_eq!(response.status, 200);
        assert_eq!(response.header("content-type"), Some("application/json"));
        serde_json::from_str(response.text()).expect("json")
    };
    let details = &json(apple)["applinks"]["details"][0];
    assert_eq!(details["appIDs"][0], "TEAM123456.example.shop");
    assert_eq!(details["components"], serde_json::json!([{ "/": "/a/*" }]));
    let statement = &json(android)[0];
    assert_eq!(statement["target"]["package_name"], "example.shop");
    assert_eq!(statement["target"]["sha256_cert_fingerprints"][0], "AB:CD");
    assert_eq!(world.events(), []);
}

#[test]
fn case_99_an_app_asks_for_the_target_as_json_and_the_click_is_recorded() {
    let world = world();
    let app = format!("/a/{}", world.token(Purpose::App(link())));
    for path in [app.clone(), world.link_path()] {
        let response = world.ask("GET", &path, "accept: application/json\r\n");
        assert_eq!(response.status, 200);
        assert_eq!(response.header("location"), None);
        assert_eq!(response.header("cache-control"), Some("no-store"));
        let json: serde_json::Value = serde_json::from_str(response.text()).expect("json");
        assert_eq!(json, serde_json::json!({ "target": TARGET }));
    }
    for accept in ["*/*", "text/html,application/xhtml+xml,*/*;q=0.8"] {
        is_redirect(&world.ask("GET", &app, &format!("accept: {accept}\r\n")));
    }
    assert_eq!(world.events().len(), 4);
}

#[test]
fn case_100_the_fixed_paths_answer_sensibly_and_record_nothing() {
    let world = world();
    let front = world.get("/");
    assert_eq!(front.status, 200);
    assert!(front.text().contains("<html lang=\"en\">"));
    let german = world.ask("GET", "/", "accept-language: de-AT, en;q=0.5\r\n");
    assert_eq!(german.header("content-language"), Some("de"));
    let robots = world.get("/robots.txt");
    assert_eq!(robots.text(), "User-agent: *\nDisallow: /\n");
    let icon = world.get("/favicon.ico");
    assert_eq!((icon.status, icon.body.len()), (204, 0));
    is_not_found(&world.get("/index.html"));
    assert_eq!(world.events(), []);
}

fn withdrawn(world: &World) -> Withdrawn {
    let (realm, recipient) = ("shop/links".parse(), "r-1".parse());
    world
        .store
        .withdrawn(&realm.expect("realm"), &recipient.expect("recipient"))
}

#[test]
fn case_101_a_withdrawal_is_asked_for_first_and_then_kept() {
    let world = world();
    let path = format!("/w/{}", world.token(Purpose::Withdraw));
    let page = world.get(&path);
    assert_eq!(page.status, 200);
    assert!(
        page.text().contains("<form method=\"post\">"),
        "{}",
        page.text()
    );
    assert_eq!(withdrawn(&world), Withdrawn::No, "asking withdraws nothing");

    let done = world.ask("POST", &path, "content-length: 0\r\n");
    assert_eq!(done.status, 200);
    assert!(!done.text().contains("<form"), "{}", done.text());
    assert_eq!(withdrawn(&world), Withdrawn::Yes);
    assert_eq!(world.metric("withdrawals_total"), 1);

    is_redirect(&world.get(&world.link_path()));
    is_pixel(&world.get(&world.pixel_path()));
    assert_eq!(world.events(), []);
}

#[test]
fn case_101_one_click_with_a_body_withdraws_too() {
    let world = world();
    let path = format!("/w/{}", world.token(Purpose::Withdraw));
    let mut client = world.client();
    client.send(format!(
        "POST {path} HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 26\r\n\r\nList-Unsubscribe=One-Click"
    ));
    assert_eq!(client.receive().status, 200);
    assert_eq!(withdrawn(&world), Withdrawn::Yes);
}

#[test]
fn case_101_a_withdrawal_that_names_nobody_or_does_not_open_is_none() {
    let world = world();
    let nobody = Mail {
        recipient: None,
        ..mail()
    };
    let path = format!("/w/{}", world.token_for(nobody, Purpose::Withdraw));
    let forged = tampered(&format!("/w/{}", world.token(Purpose::Withdraw)));
    let links = world.link_path().replace("/c/", "/w/");
    for path in [path, forged, links] {
        is_not_found(&world.get(&path));
        is_not_found(&world.ask("POST", &path, "content-length: 0\r\n"));
    }
    assert_eq!(withdrawn(&world), Withdrawn::No);
}

#[test]
fn case_102_the_host_proves_that_it_leads_to_this_install() {
    let world = world();
    let path = "/.well-known/mailtrail";
    let challenge = Challenge::parse("0123456789abcdef").expect("a challenge");
    let response = world.get(&format!("{path}?challenge=0123456789abcdef"));
    assert_eq!(response.status, 200);
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let proves = |keyring: &Keyring, host: &str| {
        let (realm, host) = ("shop/links".parse(), host.parse());
        let (realm, host) = (realm.expect("realm"), host.expect("host"));
        proof::verify(keyring, &realm, &host, challenge, response.text())
    };
    assert!(proves(&keyring(7), HOST));
    assert!(!proves(&keyring(8), HOST) && !proves(&keyring(7), OTHER_HOST));
    for path in [path.to_owned(), format!("{path}?challenge=short")] {
        is_not_found(&world.get(&path));
    }
    let unknown = world.ask_host(
        "x.example",
        "GET",
        &format!("{path}?challenge=0123456789abcdef"),
        "",
    );
    is_not_found(&unknown);
}

#[test]
fn case_103_an_unknown_key_is_asked_for_at_once_and_503_meanwhile() {
    let mut wanted = wanted();
    wanted.settings.unknown_keys = UnknownKeys::MayCome;
    let world = wanted.start();
    let [link, pixel, _] = paths_of_another_key();
    let response = world.get(&link);
    assert_eq!(response.status, 503);
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(response.header("location"), None);
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(world.key_missing.notified()); // or hangs

    let response = world.get(&pixel);
    assert_eq!(response.status, 503);
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(response.body, PIXEL, "an image all the same");
    assert_eq!(world.events(), []);

    let merged = keyring(7).merge(&keyring(9)).expect("a keyring");
    world.live.replace_keys(Keys::new(merged));
    is_redirect(&world.get(&link));
    is_pixel(&world.get(&pixel));
    assert_eq!(world.events().len(), 2);
}

/// A link, a pixel and a withdrawal, sealed under a key that is not the world's.
fn paths_of_another_key() -> [String; 3] {
    let other = Keys::new(keyring(9));
    let purposes = [
        ("c", Purpose::Click(link())),
        ("o", Purpose::Open),
        ("w", Purpose::Withdraw),
    ];
    purposes.map(|(kind, purpose)| {
        let mail = mail();
        let token = token_of(&other, "shop/links", &Claim { mail, purpose });
        format!("/{kind}/{token}")
    })
}

#[test]
fn cases_79_and_83_where_no_other_key_can_come_an_unknown_one_is_a_forgery_like_any() {
    let world = world();
    let [link, pixel, withdrawal] = paths_of_another_key();
    // Nobody learns from the answer which keys there are.
    let forged = world.get(&tampered(&world.link_path()));
    for path in [&link, &withdrawal] {
        let other_key = world.get(path);
        is_not_found(&other_key);
        assert_eq!(other_key.body, forged.body);
    }
    is_pixel(&world.get(&pixel));
    assert_eq!(world.events(), []);
    let metrics = world.metrics.encode();
    for route in ["open", "click"] {
        let line = format!("hits_total{{route=\"{route}\",outcome=\"unknown_key\"}} 1");
        assert!(metrics.contains(&line), "{metrics}");
    }
    // It is looked for all the same: somebody may have restored the keyring.
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(world.key_missing.notified()); // or hangs
    let merged = keyring(7).merge(&keyring(9)).expect("a keyring");
    world.live.replace_keys(Keys::new(merged));
    is_redirect(&world.get(&link));
}

#[test]
fn case_104_a_withdrawn_recipients_hits_are_served_and_not_recorded() {
    let world = world();
    let (realm, recipient) = ("shop/links".parse(), "r-1".parse());
    let kept = world
        .store
        .withdraw(&realm.expect("realm"), &recipient.expect("recipient"));
    assert_eq!(kept.wait(), Ok(()));
    is_pixel(&world.get(&world.pixel_path()));
    is_redirect(&world.get(&world.link_path()));
    assert_eq!(world.events(), []);
    let other = Mail {
        recipient: Some("r-2".parse().expect("recipient")),
        ..mail()
    };
    is_pixel(&world.get(&format!("/o/{}", world.token_for(other, Purpose::Open))));
    assert_eq!(world.events().len(), 1);
}
