//! The decision about one link, case by case.

use super::*;
use crate::config::Clicks;
use crate::id::LinkPosition;
use crate::keyring::Keyring;
use crate::token::{Claim, Hour, Link, Purpose};

/// A domain, its install and a mail; links are decided in it.
struct Sending {
    domain: Domain,
    snapshot: Snapshot,
    keys: Keys,
    mail: Mail,
    unsubscribe_urls: Vec<Target>,
    off: Option<Reason>,
}

fn domain(realm: &str, host: &str) -> Domain {
    Domain {
        generation: 1,
        verified: true,
        clicks: Clicks {
            enabled: true,
            never_track_hosts: vec!["*.bank.test".parse().expect("pattern")],
            ..Clicks::default()
        },
        ..Domain::new(realm.parse().expect("realm"), host.parse().expect("host"))
    }
}

fn mail(message: &str, recipient: &str) -> Mail {
    Mail {
        message: message.parse().expect("message id"),
        recipient: Some(recipient.parse().expect("recipient")),
        sent: Hour::from_unix_seconds(1_790_000_000),
        test: false,
        opens_on: true,
    }
}

fn target(url: &str) -> Target {
    Target::parse(url).expect("target")
}

fn sending() -> Sending {
    let mut links = domain("shop/links", "links.shop.example");
    links.other_hosts = vec!["old.shop.example".parse().expect("host")];
    let mut random = [7; 35];
    random[3] = 1;
    Sending {
        snapshot: Snapshot::new([links.clone(), domain("other/links", "l.other.example")])
            .expect("snapshot"),
        domain: links,
        keys: Keys::new(Keyring::generate(random).expect("a good key")),
        mail: mail("m-1", "ada@example.org"),
        unsubscribe_urls: vec![target("https://shop.example/u?id=1")],
        off: None,
    }
}

impl Sending {
    fn decide(&self, facts: &LinkFacts<'_>) -> Decision {
        let policy = LinkPolicy {
            domain: &self.domain,
            off: self.off,
            unsubscribe_urls: &self.unsubscribe_urls,
            snapshot: &self.snapshot,
            keys: &self.keys,
            mail: &self.mail,
        };
        policy.decide(facts)
    }

    #[track_caller]
    fn tracks(&self, value: &str, expected: &str) {
        let decision = self.decide(&value_of(value));
        assert_eq!(decision, tracked(expected, false), "{value}");
    }

    #[track_caller]
    fn leaves(&self, value: &str, expected: Reason) {
        assert_eq!(self.decide(&value_of(value)), left(expected), "{value}");
    }

    fn tracking_url(&self, host: &str, realm: &str, mail: Mail, purpose: Purpose) -> String {
        let claim = Claim { mail, purpose };
        let token = self.keys.seal(&realm.parse().expect("realm"), &claim);
        format!("https://{host}/{}/{token}", claim.kind().letter())
    }
}

fn value_of(value: &str) -> LinkFacts<'_> {
    LinkFacts {
        value,
        ..LinkFacts::default()
    }
}

fn tracked(url: &str, foreign: bool) -> Decision {
    Decision::Track {
        target: target(url),
        foreign,
    }
}

fn left(reason: Reason) -> Decision {
    Decision::Leave {
        reason,
        cleaned: None,
    }
}

fn click(url: &str) -> Purpose {
    Purpose::Click(Link {
        position: LinkPosition(1),
        target: target(url),
    })
}

#[test]
fn case_28_to_33_only_web_addresses_are_tracked() {
    let s = sending();
    for value in [
        "mailto:a@e.com",
        "tel:+1",
        "sms:+1",
        "cid:x",
        "data:text/html,x",
        "javascript:alert(1)",
        " JavaScript:alert(1)",
        "java\tscript:alert(1)",
        "file:///x",
        "about:blank",
        "myapp://open",
        "mailto:{{email}}",
    ] {
        s.leaves(value, Reason::OtherScheme);
    }
    for value in ["#section", "?q=1", "/path", "page.html"] {
        s.leaves(value, Reason::Relative);
    }
    s.leaves("", Reason::Empty);
    s.leaves("  ", Reason::Empty);
    s.tracks("//cdn.e.com/x", "https://cdn.e.com/x");
    s.tracks("HTTPS://E.com/Path", "HTTPS://E.com/Path");
}

#[test]
fn case_34_to_35_placeholders_are_left() {
    let s = sending();
    for value in [
        "{{url}}",
        "%recipient.x%",
        "{unsubscribe_url}",
        "https://e.com/?id={{id}}",
        "https://e.com/?id=%7B%7Bid%7D%7D",
        "https://{{host}}/",
    ] {
        s.leaves(value, Reason::Placeholder);
    }
    s.tracks("https://e.com/%20a%20", "https://e.com/%20a%20");
}

#[test]
fn case_36_unsubscribe_links_are_left() {
    let s = sending();
    s.leaves("https://shop.example/u?id=1", Reason::Unsubscribe);
    s.leaves("HTTPS://SHOP.example:443/u?id=1", Reason::Unsubscribe);
    s.tracks("https://shop.example/u?id=2", "https://shop.example/u?id=2");
    let marked = LinkFacts {
        marks: Marks {
            unsubscribe: true,
            ..Marks::default()
        },
        ..value_of("https://e.com/bye")
    };
    assert_eq!(s.decide(&marked), left(Reason::Unsubscribe));
}

#[test]
fn case_38_this_mails_own_links_are_left() {
    let s = sending();
    for host in [
        "links.shop.example",
        "old.shop.example",
        "LINKS.shop.example.",
    ] {
        let url = s.tracking_url(host, "shop/links", s.mail.clone(), click("https://e.com/"));
        s.leaves(&url, Reason::AlreadyTracked);
    }
    let withdraw = s.tracking_url(
        "links.shop.example",
        "shop/links",
        s.mail.clone(),
        Purpose::Withdraw,
    );
    s.leaves(&withdraw, Reason::AlreadyTracked);
}

#[test]
fn case_39_a_link_of_another_mail_is_tracked_anew() {
    let mut s = sending();
    s.domain.clicks.sensitive = LinkChoice::Leave;
    let behind = "https://e.com/reset?x=1";
    let link = |realm, host, mail| s.tracking_url(host, realm, mail, click(behind));
    let old_host = link(
        "shop/links",
        "old.shop.example",
        mail("m-0", "ada@example.org"),
    );
    let other_reader = link(
        "shop/links",
        "links.shop.example",
        mail("m-1", "bob@example.org"),
    );
    let other_domain = link("other/links", "l.other.example", s.mail.clone());
    for url in [old_host, other_reader, other_domain] {
        assert_eq!(s.decide(&value_of(&url)), tracked(behind, true), "{url}");
        let mangled = format!("{}=3D", url.to_uppercase().replace("HTTPS://", "https://"));
        let mangled = mangled.replace("/C/", "/c/");
        assert_eq!(s.decide(&value_of(&mangled)), tracked(behind, true));
    }
}

#[test]
fn case_39_what_cannot_be_tracked_anew_is_left() {
    let s = sending();
    let other = || mail("m-0", "ada@example.org");
    let nested = s.tracking_url(
        "links.shop.example",
        "shop/links",
        other(),
        click("https://links.shop.example/c/x"),
    );
    let pixel = s.tracking_url("links.shop.example", "shop/links", other(), Purpose::Open);
    for url in [nested, pixel] {
        s.leaves(&url, Reason::AlreadyTracked);
    }
}

#[test]
fn case_46_a_tracking_host_without_a_token_that_opens_is_left() {
    let s = sending();
    for value in [
        "https://links.shop.example/c/abc",
        "http://links.shop.example:8080/c/",
        "//l.other.example/",
        "https://links.shop.example/robots.txt",
    ] {
        s.leaves(value, Reason::AlreadyTracked);
    }
    let forged = s.tracking_url(
        "l.other.example",
        "shop/links",
        s.mail.clone(),
        click("https://e.com/"),
    );
    s.leaves(&forged, Reason::AlreadyTracked);
    s.tracks("http://127.0.0.1/x", "http://127.0.0.1/x");
    s.tracks("http://localhost:3000/", "http://localhost:3000/");
    s.tracks(
        "https://www.shop.example/c/abc",
        "https://www.shop.example/c/abc",
    );
}

#[test]
fn case_40_to_44_other_urls_keep_their_bytes() {
    let s = sending();
    for url in [
        "https://click.vendor.example/c/eJx1?u=https%3A%2F%2Fe.com",
        "https://e.com/a%2Fb%20c+d%E4",
        "https://e.com/[x]|,!$'*@",
        "https://e.com/#/route?x=1",
        "https://e.com/?~$1\\0".trim_end_matches("\\0"),
    ] {
        s.tracks(url, url);
    }
    s.tracks(
        "https://bücher.example/ß",
        "https://xn--bcher-kva.example/%C3%9F",
    );
}

#[test]
fn case_45_userinfo_is_left() {
    let s = sending();
    s.leaves("https://user:pw@e.com/", Reason::Userinfo);
    s.leaves("https://", Reason::Invalid);
}

#[test]
fn case_48_links_behind_the_cap_are_left() {
    let mut s = sending();
    s.domain.clicks.links_max = 2;
    let nth = |tracked_before| LinkFacts {
        tracked_before,
        ..value_of("https://e.com/")
    };
    assert_eq!(s.decide(&nth(1)), tracked("https://e.com/", false));
    assert_eq!(s.decide(&nth(2)), left(Reason::TooMany));
}

#[test]
fn case_50a_an_opted_out_link_is_left() {
    let s = sending();
    let marked = LinkFacts {
        marks: Marks {
            opted_out: true,
            track: true,
            ..Marks::default()
        },
        ..value_of("https://e.com/")
    };
    assert_eq!(s.decide(&marked), left(Reason::OptedOut));
}

#[test]
fn an_opt_out_by_scheme_is_left_and_cleaned() {
    let s = sending();
    for (value, cleaned) in [
        ("https+notrack://e.com/?a=1&b=2", "https://e.com/?a=1&b=2"),
        (" HTTP+NoTrack://E.com/ ", "HTTP://E.com/"),
        ("https+notrack://e.com/{{x}}", "https://e.com/{{x}}"),
    ] {
        let expected = Decision::Leave {
            reason: Reason::OptedOut,
            cleaned: Some(cleaned.to_owned()),
        };
        assert_eq!(s.decide(&value_of(value)), expected, "{value}");
    }
    s.leaves("mailto+notrack:a@e.com", Reason::OtherScheme);
    s.leaves("+notrack://e.com", Reason::Relative);
}

#[test]
fn case_51_a_text_that_is_a_url_is_left_unless_it_shares_our_domain() {
    let mut s = sending();
    let link = |text| LinkFacts {
        text: Some(text),
        ..value_of("https://e.com/")
    };
    for text in ["https://e.com", "www.e.com/x", "e.com", " https://E.com/ "] {
        assert_eq!(s.decide(&link(text)), left(Reason::TextIsUrl), "{text}");
    }
    for text in ["Read more", "https://www.shop.example/x", "me@e.com"] {
        let decision = s.decide(&link(text));
        assert_eq!(decision, tracked("https://e.com/", false), "{text}");
    }
    s.domain.clicks.url_text = LinkChoice::Track;
    assert_eq!(s.decide(&link("e.com")), tracked("https://e.com/", false));
}

#[test]
fn case_51a_a_credential_is_left_unless_asked_for() {
    let mut s = sending();
    let url = "https://e.com/reset?token=abc";
    s.leaves(url, Reason::Sensitive);
    s.tracks("https://e.com/barcode", "https://e.com/barcode");
    let wanted = LinkFacts {
        marks: Marks {
            track: true,
            ..Marks::default()
        },
        ..value_of(url)
    };
    assert_eq!(s.decide(&wanted), tracked(url, false));
    s.domain.clicks.sensitive = LinkChoice::Track;
    s.tracks(url, url);
}

#[test]
fn case_51b_a_host_without_a_scheme_is_left() {
    let s = sending();
    s.leaves("www.e.com", Reason::SchemelessHost);
    s.leaves("e.com/x", Reason::SchemelessHost);
}

#[test]
fn case_51c_a_host_on_the_list_is_left() {
    let s = sending();
    s.leaves("https://www.Bank.test/", Reason::NeverTrack);
    s.tracks("https://bank.test/", "https://bank.test/");
}

#[test]
fn case_51e_where_tracking_is_off_every_trackable_link_says_so() {
    let mut s = sending();
    s.off = Some(Reason::HostUnverified);
    s.leaves("https://e.com/", Reason::HostUnverified);
    s.leaves("mailto:a@e.com", Reason::OtherScheme);
}
