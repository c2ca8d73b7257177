//! Cases 87 to 92, by the rules that come with the program.

use super::*;

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0";
const GMAIL_PREFETCH: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0";
/// In a range of Google's.
const GOOGLE: &str = "74.125.1.2";
const ELSEWHERE: &str = "203.0.113.7";

/// A hit, by what is seen of it.
struct Request {
    user_agent: &'static str,
    headers: HeaderMap,
    address: &'static str,
}

fn of(user_agent: &'static str) -> Request {
    Request {
        user_agent,
        headers: HeaderMap::new(),
        address: ELSEWHERE,
    }
}

impl Request {
    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers
            .append(name, http::HeaderValue::from_static(value));
        self
    }

    fn from(self, address: &'static str) -> Self {
        Self { address, ..self }
    }

    fn seen(&self) -> Seen<'_> {
        Seen {
            user_agent: Some(self.user_agent),
            headers: &self.headers,
            address: self.address.parse().expect("an address"),
        }
    }

    fn at_hit(&self, kind: EventKind) -> AtHit {
        Rules::shipped().at_hit(kind, &self.seen())
    }

    fn opened(&self) -> Verdict {
        self.at_hit(EventKind::Opened).verdict
    }

    fn clicked(&self) -> Verdict {
        self.at_hit(EventKind::Clicked).verdict
    }

    fn settled(&self, kind: EventKind, learnt: Learnt) -> Verdict {
        let signs = self.at_hit(kind).signs;
        Rules::shipped().settle(kind, &signs, &learnt).0
    }
}

fn sent_before(since: SignedDuration) -> Learnt {
    Learnt {
        since_sent: Some(since),
        ..Learnt::default()
    }
}

#[test]
fn the_shipped_rules_are_read() {
    if let Err(error) = Rules::parse(SHIPPED) {
        panic!("{error}");
    }
}

#[test]
fn case_87_who_says_that_it_prefetches_is_a_machine() {
    for (name, value) in [
        ("purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("sec-purpose", "prefetch"),
        ("x-moz", "prefetch"),
        ("x-purpose", "preview"),
        ("purpose", "Prefetch"),
    ] {
        let request = of(FIREFOX).with(name, value);
        assert_eq!(request.clicked(), Verdict::Prefetch, "{name}: {value}");
        let at_hit = request.at_hit(EventKind::Opened);
        assert_eq!(at_hit.verdict, Verdict::Prefetch, "{name}: {value}");
        assert_eq!(at_hit.rules, ["prefetch_header"]);
    }
    assert_eq!(
        of(FIREFOX).with("purpose", "reading").clicked(),
        Verdict::Human
    );
}

#[test]
fn case_88_a_bare_mozilla_is_a_prefetch_with_a_second_sign_only() {
    let bare = of("Mozilla/5.0");
    let opened = |learnt| bare.settled(EventKind::Opened, learnt);
    assert_eq!(bare.opened(), Verdict::Proxy);
    assert_eq!(opened(Learnt::default()), Verdict::Proxy);
    let soon = sent_before(SignedDuration::from_secs(20));
    assert_eq!(opened(soon), Verdict::Prefetch);
    assert_eq!(
        opened(sent_before(SignedDuration::from_secs(60))),
        Verdict::Proxy
    );
    // The sender's clock may be ahead, a little.
    assert_eq!(
        opened(sent_before(SignedDuration::from_secs(-5))),
        Verdict::Prefetch
    );
    assert_eq!(
        opened(sent_before(SignedDuration::from_secs(-6))),
        Verdict::Proxy
    );
    // Not exactly that, and not one who looks soon.
    assert_eq!(
        of("Mozilla/5.0 ").settled(EventKind::Opened, soon),
        Verdict::Unknown
    );
    assert_eq!(of(FIREFOX).settled(EventKind::Opened, soon), Verdict::Human);
}

#[test]
fn case_88_a_relays_range_is_the_second_sign_where_one_is_given() {
    let text = SHIPPED
        .replace(
            "networks:\n",
            "networks:\n  - {name: relay, source: 'https://mask-api.icloud.com/egress-ip-ranges.csv', date: 2026-09-21, ranges: [203.0.113.0/24]}\n",
        )
        .replace("signs:\n", "signs:\n  - {name: in_relay, networks: [relay]}\n")
        .replace(
            "rules:\n",
            "rules:\n  - {name: relay_prefetch, for: opened, when: {all: [bare_mozilla, in_relay]}, verdict: prefetch}\n",
        );
    let rules = Rules::parse(&text).expect("rules with a relay");
    let opened = |request: Request| rules.at_hit(EventKind::Opened, &request.seen()).verdict;
    assert_eq!(opened(of("Mozilla/5.0")), Verdict::Prefetch);
    assert_eq!(opened(of("Mozilla/5.0").from(GOOGLE)), Verdict::Proxy);
    assert_eq!(opened(of(FIREFOX)), Verdict::Human);
}

#[test]
fn case_88_only_who_may_be_a_prefetch_is_asked_when_its_mail_was_sent() {
    let rules = Rules::shipped();
    let asks = |user_agent, kind| {
        let signs = of(user_agent).at_hit(kind).signs;
        rules.asks_when_sent(kind, &signs)
    };
    assert!(asks("Mozilla/5.0", EventKind::Opened));
    assert!(!asks("Mozilla/5.0", EventKind::Clicked));
    assert!(!asks(FIREFOX, EventKind::Opened));
    assert!(!asks("curl/8.5.0", EventKind::Opened));
}

#[test]
fn case_89_image_proxies_are_people_who_look() {
    for user_agent in [
        "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
        "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
        "OutlookImageProxy",
    ] {
        assert_eq!(of(user_agent).opened(), Verdict::Proxy, "{user_agent}");
        assert_eq!(of(user_agent).from(GOOGLE).opened(), Verdict::Proxy);
    }
}

#[test]
fn case_89_gmails_prefetch_is_one_from_googles_ranges_only() {
    let prefetch = || of(GMAIL_PREFETCH);
    assert_eq!(prefetch().from(GOOGLE).opened(), Verdict::Prefetch);
    assert_eq!(
        prefetch().from("2a00:1450:4::1").opened(),
        Verdict::Prefetch
    );
    assert_eq!(prefetch().opened(), Verdict::Unknown);
    let edge = GMAIL_PREFETCH.trim_end_matches(" Mozilla/5.0");
    assert_eq!(of(edge).from(GOOGLE).opened(), Verdict::Human);
}

#[test]
fn case_90_a_range_alone_changes_nothing() {
    for user_agent in [FIREFOX, "Mozilla/5.0", "", "curl/8.5.0"] {
        let (here, there) = (of(user_agent), of(user_agent).from(GOOGLE));
        assert_eq!(here.opened(), there.opened(), "{user_agent}");
        assert_eq!(here.clicked(), there.clicked(), "{user_agent}");
    }
}

#[test]
fn case_90_ms_office_is_a_person_on_outlook() {
    let outlook = "Mozilla/4.0 (compatible; ms-office; MSOffice 16)";
    assert_eq!(of(outlook).opened(), Verdict::Human);
    assert_eq!(of(outlook).from(GOOGLE).clicked(), Verdict::Human);
}

#[test]
fn case_91_a_phone_named_bot_is_a_persons() {
    for user_agent in [
        "Mozilla/5.0 (Linux; Android 14; CUBOT P80) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Mobile Safari/537.36",
        "Mozilla/5.0 (Linux; Android 8.0.0; CUBOT_P20 Build/O00623; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/109.0.5414.118 Mobile Safari/537.36",
    ] {
        assert_eq!(of(user_agent).clicked(), Verdict::Human, "{user_agent}");
    }
    let bot = of("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)");
    assert_eq!(bot.clicked(), Verdict::Scanner);
}

#[test]
fn case_92_a_burst_is_a_scanner_whatever_it_says_it_is() {
    let burst = Learnt {
        burst: true,
        ..Learnt::default()
    };
    for user_agent in [FIREFOX, "", "Mozilla/5.0", GMAIL_PREFETCH] {
        for kind in [EventKind::Opened, EventKind::Clicked] {
            assert_eq!(of(user_agent).settled(kind, burst), Verdict::Scanner);
        }
    }
    assert_eq!(
        of(FIREFOX).settled(EventKind::Clicked, Learnt::default()),
        Verdict::Human
    );
}

#[test]
fn of_whom_nothing_speaks_nothing_is_said() {
    for user_agent in ["", "ada", "Dalvik/2.1.0 (Linux; U; Android 14)"] {
        let at_hit = of(user_agent).at_hit(EventKind::Opened);
        assert_eq!((at_hit.verdict, at_hit.rules), (Verdict::Unknown, vec![]));
    }
}

#[test]
fn the_rules_named_are_those_that_say_what_the_verdict_is() {
    // A library's name and a bot's; also a browser's, which is overruled.
    let at_hit = of("curl/8.5.0 (compatible; somebot/1.0) Chrome/1").at_hit(EventKind::Clicked);
    assert_eq!(at_hit.verdict, Verdict::Scanner);
    assert_eq!(at_hit.rules, ["library", "bot"]);
    assert_eq!(at_hit.signs, ["bot", "library", "browser"]);
}

#[test]
fn signs_of_other_rules_and_claims_of_time_are_passed_over() {
    let rules = Rules::shipped();
    let names = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
    let stored = names(&["gone", "browser", BURST]);
    let (verdict, by) = rules.provisional(EventKind::Clicked, &stored);
    assert_eq!((verdict, by), (Verdict::Human, names(&["browser"])));
    let (verdict, _) = rules.settle(EventKind::Clicked, &stored, &Learnt::default());
    assert_eq!(verdict, Verdict::Human);
}

#[test]
fn what_is_said_at_once_is_the_same_in_one_step_or_two() {
    let rules = Rules::shipped();
    for user_agent in [FIREFOX, "Mozilla/5.0", "curl/8.5.0", GMAIL_PREFETCH] {
        for kind in [EventKind::Opened, EventKind::Clicked] {
            let request = of(user_agent).from(GOOGLE);
            let at_hit = rules.at_hit(kind, &request.seen());
            let signs = rules.signs(&request.seen());
            assert_eq!(signs, at_hit.signs);
            let said = rules.provisional(kind, &signs);
            assert_eq!(said, (at_hit.verdict, at_hit.rules));
        }
    }
}
