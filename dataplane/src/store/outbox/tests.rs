use std::fs;

use super::*;
use crate::store::fixtures::{event, message, small_store};

fn sink(domains: &[&str]) -> Arc<Sink> {
    let sink = serde_json::json!({
        "version": 1, "realm": "shop/orders", "generation": 1, "url": "https://a.example/",
        "secrets": ["key"], "domains": domains, "kinds": ["clicked"], "verdicts": ["unknown"],
    });
    Arc::new(serde_json::from_value(sink).expect("a sink"))
}

fn wanted(domains: &[&str], after: Place) -> Wanted {
    Wanted {
        sink: sink(domains),
        after,
        last: u64::MAX,
        between_ms: None,
    }
}

/// Fills several segments with events of three domains, in turn; gives those of
/// each.
fn fill(store: &Store) -> [Vec<Event>; 3] {
    let mut all = [const { Vec::new() }; 3];
    for n in 0..400 {
        let domain = ["shop/links", "shop/other", "toys/links"][n % 3];
        let mut event = event(domain, &format!("m-{n}"));
        event.recipient = Some(format!("reader-{}", n % 2).parse().expect("recipient"));
        drop(store.append_message(&message(
            domain,
            &format!("m-{n}"),
            event.recipient.as_ref().map(|r| r.as_str()),
            "tag",
        )));
        store.append_settled(&event).wait().expect("kept");
        all[n % 3].push(event);
    }
    all
}

/// All pages from a place on.
async fn all(outbox: &Embedded, domains: &[&str], mut after: Place) -> Vec<(Place, Event)> {
    let mut events = Vec::new();
    loop {
        let page = outbox.read(wanted(domains, after)).await.expect("read");
        assert!(page.events.len() <= PAGE_MAX_EVENTS && !page.lost);
        events.extend(page.events);
        after = page.seen;
        if !page.more {
            return events;
        }
    }
}

fn ids<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<uuid::Uuid> {
    events.into_iter().map(|event| event.id).collect()
}

#[tokio::test]
async fn events_come_page_by_page_in_order_with_their_tags() {
    let (store, _dir) = small_store();
    let [links, other, _] = fill(&store);
    let outbox = Embedded::new(store).expect("an outbox");
    let begin = Place::default();
    for (domains, expected) in [(&["links"][..], &links), (&["other"], &other)] {
        let read = all(&outbox, domains, begin).await;
        assert_eq!(ids(read.iter().map(|(_, event)| event)), ids(expected));
        assert!(read.iter().all(|(_, event)| event.tags["n"] == "tag"));
        // From any place on, the rest.
        for at in [0, 1, 57, read.len() - 1] {
            let rest = all(&outbox, domains, read[at].0).await;
            assert_eq!(rest.len(), read.len() - at - 1, "{at}");
        }
    }
    // Of the whole namespace, and no other.
    assert_eq!(
        all(&outbox, &[], begin).await.len(),
        links.len() + other.len()
    );
    let end = outbox.end().await.expect("a place");
    assert!(all(&outbox, &[], end).await.is_empty());
}

#[tokio::test]
async fn what_is_erased_is_not_found_and_the_rest_at_its_place() {
    let (store, _dir) = small_store();
    fill(&store);
    let outbox = Embedded::new(store.clone()).expect("an outbox");
    let read = all(&outbox, &["links"], Place::default()).await;
    let places: Vec<_> = read.iter().map(|(place, _)| *place).collect();
    assert_eq!(outbox.at(&places).await.expect("read").len(), read.len());
    let erased = "reader-0".parse().expect("recipient");
    let realm = "shop/links".parse().expect("realm");
    let erasing = store.clone();
    tokio::task::spawn_blocking(move || erasing.erase(&realm, &erased).expect("erased"))
        .await
        .expect("done");
    let is_left = |event: &&Event| {
        event
            .recipient
            .as_ref()
            .is_some_and(|r| r.as_str() != "reader-0")
    };
    let left = ids(read.iter().map(|(_, event)| event).filter(is_left));
    assert!(left.len() > 50 && left.len() < read.len());
    assert_eq!(ids(&outbox.at(&places).await.expect("read")), left);
    let again = all(&outbox, &["links"], Place::default()).await;
    assert_eq!(ids(again.iter().map(|(_, event)| event)), left);
}

#[tokio::test]
async fn a_range_ends_where_it_should() {
    let (store, _dir) = small_store();
    fill(&store);
    let outbox = Embedded::new(store.clone()).expect("an outbox");
    let read = all(&outbox, &[], Place::default()).await;
    let last = read[100].0.seq;
    let mut after = Place::default();
    let mut count = 0;
    loop {
        let page = outbox
            .read(Wanted {
                last,
                ..wanted(&[], after)
            })
            .await
            .expect("read");
        count += page.events.len();
        after = page.seen;
        if !page.more {
            break;
        }
    }
    assert_eq!((count, after.seq), (101, last));
    let time = u64::try_from(read[0].1.time.as_millisecond()).expect("a time");
    for (between_ms, expected) in [
        ((0, time), 0),
        ((time, time + 1), PAGE_MAX_EVENTS),
        ((time + 1, u64::MAX), 0),
    ] {
        let page = outbox.read(Wanted {
            between_ms: Some(between_ms),
            ..wanted(&[], Place::default())
        });
        assert_eq!(
            page.await.expect("read").events.len(),
            expected,
            "{between_ms:?}"
        );
    }
}

#[tokio::test]
async fn a_position_ahead_of_the_journal_goes_back_to_its_end() {
    let (store, _dir) = small_store();
    fill(&store);
    let outbox = Embedded::new(store.clone()).expect("an outbox");
    let ahead = Place {
        seq: 1_000_000,
        ..Place::default()
    };
    let page = outbox.read(wanted(&[], ahead)).await.expect("read");
    assert!(page.lost && page.events.is_empty());
    assert_eq!(page.seen, outbox.end().await.expect("a place"));
    let event = event("shop/links", "m-new");
    tokio::task::spawn_blocking(move || store.append_settled(&event).wait().expect("kept"))
        .await
        .expect("done");
    assert_eq!(all(&outbox, &[], page.seen).await.len(), 1);
}

#[tokio::test]
async fn a_state_is_the_last_that_was_kept_whatever_stands_beside_it() {
    let (store, dir) = small_store();
    let outbox = Embedded::new(store).expect("an outbox");
    let realm: Realm = "shop/orders".parse().expect("realm");
    assert_eq!(outbox.load(&realm).await.expect("read"), None);
    let state = State::new("a".to_owned(), Place::default());
    outbox.save(&realm, state.clone()).await.expect("kept");
    // As a crash leaves it in the middle of the next.
    let beside = dir.path().join("deliveries/shop_orders.json.new");
    fs::write(&beside, "{\"version\"").expect("written");
    assert_eq!(
        outbox.load(&realm).await.expect("read"),
        Some(state.clone())
    );
    let next = State {
        hold_until_ms: 7,
        ..state
    };
    outbox.save(&realm, next.clone()).await.expect("kept");
    assert_eq!(outbox.load(&realm).await.expect("read"), Some(next));
    assert_eq!(
        outbox.known().await.expect("a list"),
        std::slice::from_ref(&realm)
    );
    outbox.forget(&realm).await.expect("forgotten");
    assert_eq!(outbox.known().await.expect("a list"), []);
}

#[tokio::test]
async fn a_state_that_cannot_be_read_is_set_aside() {
    let (store, dir) = small_store();
    let outbox = Embedded::new(store).expect("an outbox");
    let realm: Realm = "shop/orders".parse().expect("realm");
    let path = dir.path().join("deliveries/shop_orders.json");
    for bad in ["", "{", "{\"version\": 2}", "[]"] {
        fs::write(&path, bad).expect("written");
        assert_eq!(outbox.load(&realm).await.expect("read"), None);
        let aside = dir.path().join("deliveries/shop_orders.json.aside");
        assert_eq!(fs::read_to_string(aside).expect("set aside"), bad);
    }
}
