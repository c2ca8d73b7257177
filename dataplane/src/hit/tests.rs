//! Hits: what an event says, and what it leaves out.

use http::HeaderMap;
use mailtrail_core::config::{Clicks, DomainState, Opens};
use mailtrail_core::id::LinkPosition;
use mailtrail_core::target::Target;
use mailtrail_core::token::{Hour, Link, Mail};

use super::*;

const SENT: i64 = 1_790_000_000;
const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36";

fn domain(privacy: Privacy) -> Domain {
    Domain {
        generation: 1,
        verified: true,
        opens: Opens {
            enabled: true,
            ..Opens::default()
        },
        clicks: Clicks {
            enabled: true,
            ..Clicks::default()
        },
        privacy,
        ..Domain::new(
            "shop/links".parse().expect("realm"),
            "links.shop.example".parse().expect("host"),
        )
    }
}

fn claim(purpose: Purpose) -> Claim {
    Claim {
        mail: Mail {
            message: "m-1".parse().expect("id"),
            recipient: Some("r-1".parse().expect("recipient")),
            sent: Hour::from_unix_seconds(SENT),
            test: true,
            opens_on: true,
        },
        purpose,
    }
}

fn click() -> Purpose {
    Purpose::Click(Link {
        position: LinkPosition(2),
        target: Target::parse("https://e.com/").expect("target"),
    })
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::new(seconds, 123_456_789).expect("a time")
}

fn event_of(purpose: Purpose, privacy: Privacy, address: &str) -> Event {
    unsettled(purpose, privacy, address).event
}

fn unsettled(purpose: Purpose, privacy: Privacy, address: &str) -> Unsettled {
    let domain = domain(privacy);
    let hit = Hit {
        host: &domain.host,
        seen: Seen {
            user_agent: Some(CHROME),
            headers: &HeaderMap::new(),
            address: address.parse().expect("address"),
        },
        rules: &Rules::shipped(),
    };
    event(hit, &claim(purpose), &domain, (at(SENT), [7; 10]))
}

#[test]
fn a_click_says_who_what_and_when_and_nothing_of_the_reader_by_default() {
    let event = event_of(click(), Privacy::default(), "203.0.113.7");
    assert_eq!(event.kind, EventKind::Clicked);
    assert_eq!(event.id.get_version_num(), 7);
    assert_eq!(event.time.as_nanosecond() % 1_000_000, 0);
    assert_eq!(
        event.link.as_ref().map(|l| l.position),
        Some(LinkPosition(2))
    );
    assert!(event.test);
    let Client {
        verdict,
        rules,
        family,
        os,
        device,
        address,
        user_agent,
    } = event.client;
    assert_eq!(verdict, Verdict::Human);
    assert_eq!(rules, ["browser"]);
    assert_eq!(family.as_deref(), Some("Chrome"));
    assert_eq!(os.as_deref(), Some("Windows"));
    assert_eq!(device.as_deref(), Some("desktop"));
    assert_eq!((address, user_agent), (None, None));
}

#[test]
fn what_a_verdict_settles_by_outlives_the_privacy_cut() {
    let hit = unsettled(click(), Privacy::default(), "203.0.113.7");
    assert_eq!(hit.event.client.user_agent, None);
    assert_eq!(hit.signs, ["browser"]);
    assert_eq!(hit.mail_sent.as_second(), SENT - SENT % 3600);
}

#[test]
fn an_event_reads_back_as_it_was_made() {
    let event = event_of(Purpose::Open, Privacy::default(), "203.0.113.7");
    let json = serde_json::to_string(&event).expect("json");
    assert_eq!(serde_json::from_str::<Event>(&json).expect("event"), event);
}

#[test]
fn the_address_is_cut_to_what_the_domain_allows() {
    let check = |detail, address, expected: Option<&str>| {
        let privacy = Privacy {
            address: detail,
            ..Privacy::default()
        };
        let client = event_of(Purpose::Open, privacy, address).client;
        assert_eq!(client.address.as_deref(), expected, "{detail:?} {address}");
    };
    check(AddressDetail::Omit, "203.0.113.7", None);
    check(
        AddressDetail::Truncate,
        "203.0.113.7",
        Some("203.0.113.0/24"),
    );
    check(
        AddressDetail::Truncate,
        "2001:db8:1:2::3",
        Some("2001:db8:1::/48"),
    );
    check(AddressDetail::Full, "203.0.113.7", Some("203.0.113.7"));
}

#[test]
fn a_kept_user_agent_is_bounded() {
    assert_eq!(bounded(&"ü".repeat(300)).len(), USER_AGENT_MAX_BYTES);
    assert_eq!(bounded("x"), "x");
}

#[test]
fn nothing_is_recorded_when_off_retired_or_older_than_the_retention() {
    let (open, click) = (claim(Purpose::Open), claim(click()));
    let on = domain(Privacy::default());
    assert!(is_recorded(&on, &open, at(SENT)) && is_recorded(&on, &click, at(SENT)));

    let mut opens_off = on.clone();
    opens_off.opens.enabled = false;
    assert!(!is_recorded(&opens_off, &open, at(SENT)) && is_recorded(&opens_off, &click, at(SENT)));

    let mut retired = on.clone();
    retired.state = DomainState::Retired;
    assert!(!is_recorded(&retired, &open, at(SENT)) && !is_recorded(&retired, &click, at(SENT)));

    let day = 24 * 60 * 60;
    assert!(is_recorded(&on, &open, at(SENT + 44 * day)));
    assert!(!is_recorded(&on, &open, at(SENT + 46 * day)));
}
