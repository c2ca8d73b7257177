//! Verdicts of requests as they come in; the rules' own cases are in `judge`.

use mailtrail_core::event::{Client, Verdict};

use crate::world::{World, world};

const FIREFOX: &str =
    "user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0\r\n";

/// What is recorded of who asked, for the only event there is.
fn recorded(world: &World) -> Client {
    let mut events = world.events();
    assert_eq!(events.len(), 1);
    events.remove(0).client
}

#[test]
fn case_87_a_prefetch_is_served_like_any_other_and_marked_as_a_machines() {
    for header in [
        "purpose: prefetch",
        "sec-purpose: prefetch;prerender",
        "x-moz: prefetch",
        "x-purpose: preview",
    ] {
        for pixel in [true, false] {
            let world = world();
            let (path, status) = match pixel {
                true => (world.pixel_path(), 200),
                false => (world.link_path(), 302),
            };
            let response = world.ask("GET", &path, &format!("{FIREFOX}{header}\r\n"));
            assert_eq!(response.status, status, "{header}");
            let client = recorded(&world);
            assert_eq!(client.verdict, Verdict::Prefetch, "{header}");
            assert_eq!(client.rules, ["prefetch_header"]);
        }
    }
}

#[test]
fn case_89_an_image_proxy_is_a_person_who_looks() {
    let world = world();
    let proxy = "user-agent: Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)\r\n";
    assert_eq!(world.ask("GET", &world.pixel_path(), proxy).status, 200);
    let client = recorded(&world);
    assert_eq!(client.verdict, Verdict::Proxy);
    // Neither address nor system are the reader's.
    assert_eq!((client.address, client.os), (None, None));
}

#[test]
fn a_browsers_click_is_a_persons_and_nobodys_is_unknown() {
    let world = world();
    assert_eq!(world.ask("GET", &world.link_path(), FIREFOX).status, 302);
    let client = recorded(&world);
    assert_eq!(client.verdict, Verdict::Human);
    assert_eq!(client.rules, ["browser"]);

    let world = crate::world::world();
    assert_eq!(world.get(&world.link_path()).status, 302);
    let client = recorded(&world);
    assert_eq!((client.verdict, client.rules), (Verdict::Unknown, vec![]));
}
