use super::*;
use crate::rules::{
    ANDROID_EXTRA_BYTES, FINGERPRINT_BYTES, ITEM_EXTRA_BYTES, RECORD_BYTES, TEXTS_MAX_BYTES,
};

const FINGERPRINT: &str = "AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA";

/// A domain with every setting at its longest and short texts.
fn longest() -> TrackingDomain {
    let spec = serde_json::json!({
        "host": "a.b",
        "aliases": ["c.d"],
        "opens": {"enabled": false, "pixel": "Bottom", "record": "Anonymous"},
        "clicks": {
            "enabled": false, "plainText": "Track", "textIsUrl": "Track", "sensitive": "Track",
            "neverTrackHosts": ["e.f"], "maxLinks": 10000, "record": "Identified",
        },
        "privacy": {"address": "Truncate", "userAgent": "Full", "record": "Anonymous"},
        "retention": "3650d",
        "fallback": "http://g.h",
        "apps": {
            "apple": ["AAAAAAAAAA.x"],
            "android": [{"packageName": "a.b", "sha256Fingerprints": [FINGERPRINT]}],
        },
    });
    let mut domain =
        TrackingDomain::new(&"n".repeat(63), serde_json::from_value(spec).expect("spec"));
    domain.metadata.namespace = Some("s".repeat(63));
    domain.metadata.generation = Some(i64::MAX);
    domain
}

/// What the rule counts, written a second time.
fn counted(spec: &TrackingDomainSpec) -> usize {
    let list = |texts: &[String]| {
        texts
            .iter()
            .map(|t| t.len() + ITEM_EXTRA_BYTES)
            .sum::<usize>()
    };
    spec.host.len()
        + spec.fallback.as_ref().map_or(0, String::len)
        + list(&spec.aliases)
        + list(&spec.clicks.never_track_hosts)
        + list(&spec.apps.apple)
        + spec
            .apps
            .android
            .iter()
            .map(|app| {
                app.package_name.len()
                    + ANDROID_EXTRA_BYTES
                    + app.sha256_fingerprints.len() * FINGERPRINT_BYTES
            })
            .sum::<usize>()
        + match (spec.opens.record, spec.clicks.record) {
            (None, None) => 0,
            _ => RECORD_BYTES,
        }
}

fn host_of(chars: usize) -> String {
    assert!((3..=253).contains(&chars));
    let mut host = "a.".repeat(chars / 2);
    host.truncate(chars - 1);
    host = host.trim_end_matches('.').to_owned();
    let rest = "b".repeat(chars - host.len());
    host + &rest
}

/// Two hosts that take all of `room`.
fn hosts(room: usize) -> [String; 2] {
    let first = 100;
    [host_of(first), host_of(room - first - 2 * ITEM_EXTRA_BYTES)]
}

#[test]
fn the_longest_spec_that_the_rule_allows_fits_its_entry() {
    type Grow = fn(&mut TrackingDomainSpec, usize);
    let ways: [Grow; 4] = [
        |spec, room| {
            spec.host = host_of(3 + 200);
            spec.fallback = Some(format!("http://g.h/{}", "x".repeat(room - 200 - 1)));
        },
        |spec, room| spec.aliases.extend(hosts(room)),
        |spec, room| spec.clicks.never_track_hosts.extend(hosts(room)),
        |spec, room| spec.apps.apple.extend(hosts(room)),
    ];
    for (way, grow) in ways.into_iter().enumerate() {
        let mut domain = longest();
        let room = TEXTS_MAX_BYTES - counted(&domain.spec);
        grow(&mut domain.spec, room);
        assert_eq!(counted(&domain.spec), TEXTS_MAX_BYTES, "way {way}");
        let facts = Facts {
            verified: false,
            former_hosts: Vec::new(),
            since: 1_790_000_000,
        };
        let mut entry = entry(&domain, facts).unwrap_or_else(|error| panic!("way {way}: {error}"));
        // Deleting the object, or its namespace, must not make it too long either.
        entry.state = core::DomainState::Orphaned;
        let bytes = serde_json::to_vec(&entry).expect("json").len();
        assert!(bytes <= core::ENTRY_MAX_BYTES, "way {way}: {bytes} bytes");
    }
}

#[test]
fn an_entry_that_former_hosts_make_too_long_is_refused() {
    let mut domain = longest();
    domain.spec.aliases.extend(hosts(250));
    let former_hosts = hosts(250).map(|h| h.parse().expect("host")).to_vec();
    let facts = Facts {
        verified: true,
        former_hosts: former_hosts.clone(),
        since: 1_790_000_000,
    };
    // The same hosts as aliases: they are not listed twice.
    entry(&domain, facts.clone()).expect("fits");
    domain.spec.aliases = hosts(260).to_vec();
    let error = entry(&domain, facts).expect_err("too long");
    assert!(matches!(error, EntryError::TooLong { .. }), "{error}");
}

#[test]
fn errors_name_the_field() {
    let refused = |change: fn(&mut TrackingDomain), expected: &str| {
        let mut domain = longest();
        change(&mut domain);
        let error = entry(&domain, Facts::default()).expect_err(expected);
        assert!(error.to_string().starts_with(expected), "{error}");
    };
    refused(|d| d.spec.host = "localhost".into(), "spec.host: ");
    refused(|d| d.spec.aliases.push("-".into()), "spec.aliases[1]: ");
    refused(
        |d| d.spec.clicks.never_track_hosts[0] = "*.com".into(),
        "spec.clicks.neverTrackHosts[0]: ",
    );
    refused(|d| d.spec.retention = "1w".into(), "spec.retention: ");
    refused(
        |d| d.spec.fallback = Some("https://u@e.com".into()),
        "spec.fallback: ",
    );
    // Only the URL standard knows that this is not punycode.
    refused(
        |d| d.spec.fallback = Some("https://xn--a.example/".into()),
        "spec.fallback: ",
    );
    refused(|d| d.spec.clicks.max_links = -1, "spec.clicks.maxLinks: ");
    refused(|d| d.metadata.namespace = None, "metadata: ");
}

#[test]
fn what_is_recorded_is_said_in_as_few_words_as_say_it() {
    use mailtrail_core::event::EventKind::{Clicked, Opened};
    let recorded = |opens: Option<Recorded>, clicks: Option<Recorded>, domain: Recorded| {
        let mut spec = longest();
        spec.spec.opens.record = opens;
        spec.spec.clicks.record = clicks;
        spec.spec.privacy.record = domain;
        let entry = entry(&spec, Facts::default()).expect("entry");
        let words = serde_json::to_string(&entry).expect("json");
        (
            entry.recorded(Opened),
            entry.recorded(Clicked),
            words.matches("record").count(),
        )
    };
    use Recorded::{Anonymous, Identified};
    let (all, none) = (core::Recorded::Identified, core::Recorded::Anonymous);
    for (opens, clicks, domain, expected) in [
        (None, None, Identified, (all, all, 0)),
        (None, None, Anonymous, (none, none, 1)),
        (
            Some(Anonymous),
            Some(Anonymous),
            Identified,
            (none, none, 1),
        ),
        (Some(Anonymous), None, Identified, (none, all, 1)),
        (Some(Identified), None, Anonymous, (all, none, 1)),
        (None, Some(Identified), Anonymous, (none, all, 1)),
        (Some(Identified), Some(Identified), Anonymous, (all, all, 0)),
    ] {
        assert_eq!(recorded(opens, clicks, domain), expected);
    }
}

#[test]
fn verification_is_found_or_waived() {
    let mut domain = longest();
    let verified = |domain: &TrackingDomain, verified| {
        let facts = Facts {
            verified,
            ..Facts::default()
        };
        entry(domain, facts).expect("entry").verified
    };
    assert!(!verified(&domain, false));
    assert!(verified(&domain, true));
    domain.spec.verification = Verification::None;
    assert!(verified(&domain, false));
}
