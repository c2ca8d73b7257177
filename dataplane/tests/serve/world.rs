//! A running listener with a real store and real keys, and tokens for it.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use mailtrail_core::config::{Clicks, Domain, Opens, Snapshot};
use mailtrail_core::event::Event;
use mailtrail_core::id::{LinkPosition, Realm};
use mailtrail_core::keyring::Keyring;
use mailtrail_core::target::Target;
use mailtrail_core::token::{Claim, Hour, Keys, Link, Mail, Purpose};
use mailtrail_dataplane::config::{Live, Look as _, Looked};
use mailtrail_dataplane::judge::{LiveRules, Rules};
use mailtrail_dataplane::metrics::Metrics;
use mailtrail_dataplane::serve::tls::{self, CertificateWatcher, Tls};
use mailtrail_dataplane::serve::{self, Bound, Context, Drained, Running, Settings};
use mailtrail_dataplane::store::{self, EventQuery, Store, Withdrawn};
use tokio::sync::Notify;

use crate::client::{Client, PATIENCE, Response};

/// The time of day in every test: 2026-09-21T14:13:20Z.
pub(crate) const NOW_SECONDS: i64 = 1_790_000_000;
pub(crate) const HOST: &str = "links.shop.example";
pub(crate) const OTHER_HOST: &str = "links.other.example";
pub(crate) const TARGET: &str = "https://www.e.com/sale?a=1&b=2#top";

pub(crate) struct World {
    pub(crate) live: Arc<Live>,
    pub(crate) store: Store,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) key_missing: Arc<Notify>,
    pub(crate) address: SocketAddr,
    pub(crate) tls_address: Option<SocketAddr>,
    certificates: Mutex<Option<CertificateWatcher>>,
    running: Option<Running>,
    _folder: tempfile::TempDir,
}

/// What differs from the usual world.
pub(crate) struct Wanted {
    pub(crate) settings: Settings,
    /// Where TLS is spoken, the folder of its certificates.
    pub(crate) certificates: Option<PathBuf>,
    /// When it is for them.
    pub(crate) tls_clock: tls::Clock,
    pub(crate) domain: Domain,
}

pub(crate) fn wanted() -> Wanted {
    let mut settings = Settings::at((Ipv4Addr::LOCALHOST, 0).into());
    settings.runtimes = NonZeroUsize::new(1);
    Wanted {
        settings,
        certificates: None,
        tls_clock: Arc::new(Timestamp::now),
        domain: domain("shop/links", HOST),
    }
}

pub(crate) fn domain(realm: &str, host: &str) -> Domain {
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
        ..Domain::new(realm.parse().expect("realm"), host.parse().expect("host"))
    }
}

pub(crate) fn keyring(first: u8) -> Keyring {
    let mut random = [first; 35];
    random[3] = first.wrapping_add(1);
    Keyring::generate(random).expect("a good key")
}

pub(crate) fn mail() -> Mail {
    Mail {
        message: "m-1".parse().expect("id"),
        recipient: Some("r-1".parse().expect("recipient")),
        sent: Hour::from_unix_seconds(NOW_SECONDS),
        test: false,
        opens_on: true,
    }
}

pub(crate) fn link() -> Link {
    Link {
        position: LinkPosition(3),
        target: Target::parse(TARGET).expect("target"),
    }
}

pub(crate) fn token_of(keys: &Keys, realm: &str, claim: &Claim) -> String {
    keys.seal(&realm.parse().expect("realm"), claim)
}

fn clock() -> Timestamp {
    Timestamp::new(NOW_SECONDS, 0).expect("a time")
}

/// The usual world: one domain with both toggles on, and another's beside it.
pub(crate) fn world() -> World {
    wanted().start()
}

impl Wanted {
    pub(crate) fn start(self) -> World {
        let other = domain("other/links", OTHER_HOST);
        let snapshot = Snapshot::new([self.domain, other]).expect("domains");
        let live = Arc::new(Live::new(snapshot, Keys::new(keyring(7))));
        let folder = tempfile::tempdir().expect("a folder");
        let metrics = Arc::new(Metrics::new());
        let store = Store::open(
            store::Settings::at(folder.path().join("data")).settling_at_once(),
            Arc::clone(&metrics),
        )
        .expect("a store");
        wait_for_the_withdrawals(&store);
        let key_missing = Arc::new(Notify::new());
        let mut settings = self.settings;
        let certificates = self.certificates.map(|folder| {
            let opened = tls::open(folder, self.tls_clock, metrics.tls.clone());
            let (acceptor, watcher) = opened.expect("TLS");
            let address = (Ipv4Addr::LOCALHOST, 0).into();
            settings.tls = Some(Tls { address, acceptor });
            watcher
        });
        let bound: Bound = serve::bind(settings).expect("a port");
        let (address, tls_address) = (bound.addr(), bound.tls_addr());
        let running = bound.start(Context {
            live: Arc::clone(&live),
            rules: Arc::new(LiveRules::new(Rules::shipped())),
            store: store.clone(),
            metrics: Arc::clone(&metrics),
            clock,
            key_missing: Arc::clone(&key_missing),
        });
        World {
            live,
            store,
            metrics,
            key_missing,
            address,
            tls_address,
            certificates: Mutex::new(certificates),
            running: Some(running.expect("threads")),
            _folder: folder,
        }
    }
}

/// Until the list is loaded nothing is recorded (case 104).
fn wait_for_the_withdrawals(store: &Store) {
    let (realm, nobody) = ("shop/links".parse(), "nobody".parse());
    let (realm, nobody) = (realm.expect("realm"), nobody.expect("recipient"));
    while store.withdrawn(&realm, &nobody) == Withdrawn::NotLoaded {
        std::thread::yield_now();
    }
}

impl World {
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    pub(crate) fn token(&self, purpose: Purpose) -> String {
        self.token_for(mail(), purpose)
    }

    pub(crate) fn token_for(&self, mail: Mail, purpose: Purpose) -> String {
        token_of(&self.live.keys(), "shop/links", &Claim { mail, purpose })
    }

    pub(crate) fn pixel_path(&self) -> String {
        format!("/o/{}", self.token(Purpose::Open))
    }

    pub(crate) fn link_path(&self) -> String {
        format!("/c/{}", self.token(Purpose::Click(link())))
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, method: &str, path: &str, fields: &str) -> Response {
        self.ask_host(HOST, method, path, fields)
    }

    pub(crate) fn ask_host(&self, host: &str, method: &str, path: &str, fields: &str) -> Response {
        let mut client = self.client();
        client.send(format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\n{fields}\r\n"
        ));
        client.try_receive(method == "HEAD").expect("a response")
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.ask("GET", path, "")
    }

    /// Changes the domain, as a reload of its manifest does.
    pub(crate) fn reload(&self, change: impl FnOnce(&mut Domain)) {
        let realm: Realm = "shop/links".parse().expect("realm");
        let snapshot = self.live.snapshot();
        let mut domain = Domain::clone(snapshot.by_realm(&realm).expect("the domain"));
        change(&mut domain);
        let other = self::domain("other/links", OTHER_HOST);
        self.live
            .replace_snapshot(Snapshot::new([domain, other]).expect("domains"));
    }

    /// What is recorded for the domain.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.wait_for_the_disk();
        let mut query = EventQuery::of("shop/links".parse().expect("realm"));
        let mut events = Vec::new();
        loop {
            let page = self.store.events(&query).expect("events");
            if page.events.is_empty() {
                return events;
            }
            events.extend(page.events);
            query.after = Some(page.next);
        }
    }

    /// Where the disk is slow, answers go out before their hits are on it;
    /// and hits are listed once they are settled.
    fn wait_for_the_disk(&self) {
        while !self.store.is_settled() {
            std::thread::yield_now();
        }
    }

    /// The value of a metric's line, such as `hits_total{route="open",outcome="refused"}`.
    pub(crate) fn metric(&self, line: &str) -> u64 {
        let text = self.metrics.encode();
        let wanted = format!("mailtrail_{line} ");
        let value = text.lines().find_map(|l| l.strip_prefix(&wanted));
        let value = value.unwrap_or_else(|| panic!("{line} in {text}"));
        value.parse().expect("a number")
    }

    /// Waits until a metric has a value: what ends without a word is counted
    /// behind its end.
    pub(crate) fn counts(&self, line: &str, expected: u64) {
        let begin = Instant::now();
        while self.metric(line) < expected && begin.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
        assert_eq!(self.metric(line), expected, "{line}");
    }

    /// Has the certificates looked at, as the program does twice a second.
    pub(crate) fn look_at_certificates(&self) -> Looked {
        let mut watcher = self.certificates.lock().expect("nobody panics in here");
        watcher.as_mut().expect("TLS is spoken").look()
    }

    pub(crate) fn leave(&self) {
        self.running.as_ref().expect("running").leave();
    }

    pub(crate) fn drain(&mut self, deadline: Duration) -> Drained {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let running = self.running.take().expect("running");
        runtime.block_on(running.drain(deadline))
    }
}
