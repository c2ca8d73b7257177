//! What of a spec that is refused counts all the same: what it turns off, and what it
//! keeps less of. Pure.

use mailtrail_core::config as core;
use mailtrail_core::event::EventKind;

use super::{Recording, of_choice, of_privacy, of_recorded};
use crate::domain::{LinkChoice, TrackingDomainSpec};

/// What is served, with no more tracked and no more kept of readers than a spec says:
/// its owner may turn off at any time, whatever else stands in the way of what they
/// wrote. What the spec opens, and hosts, retention and apps, stay as they are served.
pub fn narrowed(served: &core::Domain, spec: &TrackingDomainSpec) -> core::Domain {
    let mut entry = served.clone();
    let (opens, clicks) = (spec.opens, &spec.clicks);
    entry.opens.enabled &= opens.enabled;
    entry.clicks.enabled &= clicks.enabled;
    entry.clicks.plain_text &= clicks.plain_text == LinkChoice::Track;
    entry.clicks.url_text = less(entry.clicks.url_text, of_choice(clicks.text_is_url));
    entry.clicks.sensitive = less(entry.clicks.sensitive, of_choice(clicks.sensitive));
    let links_max = u32::try_from(clicks.max_links).unwrap_or(0);
    entry.clicks.links_max = entry.clicks.links_max.min(links_max);
    let wanted = of_privacy(spec.privacy, served.privacy.record);
    let recorded = |kind, own: Option<_>| {
        let wanted = of_recorded(own.unwrap_or(spec.privacy.record));
        served.recorded(kind).max(wanted)
    };
    let recording = Recording::least(
        recorded(EventKind::Opened, opens.record),
        recorded(EventKind::Clicked, clicks.record),
    );
    entry.opens.record = recording.opens;
    entry.clicks.record = recording.clicks;
    entry.privacy = core::Privacy {
        address: less_of_address(served.privacy.address, wanted.address),
        user_agent: less_of_agent(served.privacy.user_agent, wanted.user_agent),
        record: recording.domain,
    };
    leaving_alone(entry, &clicks.never_track_hosts)
}

/// The hosts that a spec adds to those whose links are left alone, where the entry has
/// room for them.
fn leaving_alone(entry: core::Domain, hosts: &[String]) -> core::Domain {
    let mut more = entry.clone();
    for host in hosts.iter().filter_map(|host| host.parse().ok()) {
        if !more.clicks.never_track_hosts.contains(&host) {
            more.clicks.never_track_hosts.push(host);
        }
    }
    let bytes = serde_json::to_vec(&more).map_or(usize::MAX, |json| json.len());
    match bytes <= core::ENTRY_MAX_BYTES {
        true => more,
        false => entry,
    }
}

fn less(one: core::LinkChoice, other: core::LinkChoice) -> core::LinkChoice {
    use core::LinkChoice::{Leave, Track};
    match (one, other) {
        (Track, Track) => Track,
        (Leave, _) | (_, Leave) => Leave,
    }
}

fn less_of_address(one: core::AddressDetail, other: core::AddressDetail) -> core::AddressDetail {
    use core::AddressDetail::{Full, Omit, Truncate};
    match (one, other) {
        (Omit, _) | (_, Omit) => Omit,
        (Truncate, _) | (_, Truncate) => Truncate,
        (Full, Full) => Full,
    }
}

fn less_of_agent(
    one: core::UserAgentDetail,
    other: core::UserAgentDetail,
) -> core::UserAgentDetail {
    use core::UserAgentDetail::{Full, Omit};
    match (one, other) {
        (Full, Full) => Full,
        (Omit, _) | (_, Omit) => Omit,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::TrackingDomain;
    use crate::entry::{Facts, entry};

    fn domain(mut spec: Value) -> TrackingDomain {
        spec["host"] = json!("links.shop.example");
        serde_json::from_value(json!({
            "apiVersion": "mailtrail.dev/v1alpha1", "kind": "TrackingDomain",
            "metadata": {"namespace": "shop", "name": "links", "generation": 1},
            "spec": spec,
        }))
        .expect("a domain")
    }

    fn entry_of(spec: Value) -> core::Domain {
        entry(&domain(spec), Facts::default()).expect("an entry")
    }

    fn check(served: &Value, refused: &Value, becomes: &Value) {
        let found = narrowed(&entry_of(served.clone()), &domain(refused.clone()).spec);
        assert_eq!(found, entry_of(becomes.clone()), "{served} {refused}");
    }

    #[test]
    fn what_a_refused_spec_turns_off_is_off() {
        let on = json!({"opens": {"enabled": true}, "clicks": {"enabled": true}});
        let clicks = json!({"clicks": {"enabled": true}});
        let off = json!({});
        check(&on, &clicks, &clicks);
        check(&on, &off, &off);
        let open = json!({"clicks": {"enabled": true, "plainText": "Track", "textIsUrl": "Track", "sensitive": "Track"}});
        check(&open, &clicks, &clicks);
        let few =
            json!({"clicks": {"enabled": true, "maxLinks": 3, "neverTrackHosts": ["a.example"]}});
        check(&clicks, &few, &few);
    }

    #[test]
    fn what_a_refused_spec_turns_on_is_not() {
        let on = json!({"opens": {"enabled": true}, "clicks": {"enabled": true, "plainText": "Track", "sensitive": "Track"},
            "privacy": {"address": "Full", "userAgent": "Full"}});
        check(&json!({}), &on, &json!({}));
        let few = json!({"clicks": {"enabled": true, "maxLinks": 3, "neverTrackHosts": ["a.example"]}, "privacy": {"record": "Anonymous"}});
        check(&few, &on, &few);
    }

    #[test]
    fn of_what_is_kept_of_readers_the_least_of_both_counts() {
        let full = json!({"privacy": {"address": "Full", "userAgent": "Full"}});
        let part = json!({"privacy": {"address": "Truncate"}});
        check(&full, &part, &part);
        check(&part, &full, &part);
        check(
            &json!({"opens": {"record": "Anonymous"}, "clicks": {"record": "Identified"}}),
            &json!({"privacy": {"record": "LastDate"}}),
            &json!({"opens": {"record": "Anonymous"}, "clicks": {"record": "LastDate"}}),
        );
    }

    #[test]
    fn hosts_that_find_no_room_are_left_out_and_nothing_else_is() {
        let long = |at: usize| format!("{}{at}.example", "h".repeat(50));
        let hosts: Vec<_> = (0..32).map(long).collect();
        let served = json!({"opens": {"enabled": true}, "clicks": {"enabled": true}});
        let refused = json!({"clicks": {"enabled": true, "neverTrackHosts": hosts}});
        check(&served, &refused, &json!({"clicks": {"enabled": true}}));
    }
}
