//! A store, deliveries from it, and receivers.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use mailtrail_core::event::{Client as Who, Event, EventKind, Verdict};
use mailtrail_core::id::Realm;
use mailtrail_core::keyring::Keyring;
use mailtrail_core::sink::{Sink, Sinks};
use mailtrail_core::token::Keys;
use mailtrail_dataplane::deliver::attempt::{Client, Limits};
use mailtrail_dataplane::deliver::guard::Guard;
use mailtrail_dataplane::deliver::resolve::{Addresses, Resolver};
use mailtrail_dataplane::deliver::secrets::{Everywhere, SecretsFolder};
use mailtrail_dataplane::deliver::state::Rules;
use mailtrail_dataplane::deliver::{self, Handle, Parts, View};
use mailtrail_dataplane::metrics::Metrics;
use mailtrail_dataplane::store::{Embedded, Settings, Store};
use tokio::sync::{oneshot, watch};

use crate::receiver::Receiver;

/// A secret of the tests.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Another one.
pub(crate) const OTHER_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Names and the addresses that they have at the moment.
#[derive(Clone, Default)]
pub(crate) struct Names(Arc<Mutex<HashMap<String, Vec<IpAddr>>>>);

impl Names {
    pub(crate) fn set(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|a| a.parse().expect("an address"));
        let mut names = self.0.lock().expect("nobody panics in here");
        names.insert(name.to_owned(), addresses.collect());
    }
}

impl Resolver for Names {
    fn resolve<'a>(&'a self, host: &'a str) -> Addresses<'a> {
        let found = self
            .0
            .lock()
            .expect("nobody panics in here")
            .get(host)
            .cloned();
        let found = found.ok_or_else(|| io::Error::other("no such name"));
        Box::pin(std::future::ready(found))
    }
}

/// How a world differs from the usual.
pub(crate) struct Setup {
    /// Networks that receivers may be in.
    pub(crate) allow: Vec<&'static str>,
    pub(crate) rules: Rules,
    pub(crate) limits: Limits,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            allow: vec!["127.0.0.0/8"],
            rules: Rules {
                waits: [50, 100, 200, 400, 800].map(Duration::from_millis).to_vec(),
                ..Rules::default()
            },
            limits: Limits {
                attempt: Duration::from_secs(2),
                connect: Duration::from_secs(1),
                body: Duration::from_millis(300),
            },
        }
    }
}

/// A store and its deliveries; ends with it.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) handle: Handle,
    pub(crate) names: Names,
    pub(crate) folder: Arc<tempfile::TempDir>,
    sinks: watch::Sender<Arc<Sinks>>,
    stop: Option<oneshot::Sender<()>>,
    running: Option<tokio::task::JoinHandle<()>>,
    runtime: tokio::runtime::Runtime,
}

impl World {
    /// With these sinks.
    pub(crate) fn new(sinks: &[Sink]) -> Self {
        Self::with(Setup::default(), sinks)
    }

    pub(crate) fn with(setup: Setup, sinks: &[Sink]) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        let secrets = folder.path().join("secrets/shop");
        std::fs::create_dir_all(&secrets).expect("a folder");
        std::fs::write(secrets.join("key"), SECRET).expect("written");
        Self::again(setup, sinks, folder, Names::default())
    }

    fn again(setup: Setup, sinks: &[Sink], folder: Arc<tempfile::TempDir>, names: Names) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let metrics = Arc::new(Metrics::new());
        let settings = Settings::at(folder.path().join("data")).settling_at_once();
        let store = Store::open(settings, Arc::clone(&metrics)).expect("a store");
        let (told, declared) = watch::channel(Arc::new(by_name(sinks)));
        let (stop, stopped) = oneshot::channel::<()>();
        let handle = Handle::default();
        let keys = Arc::new(Keys::new(keyring()));
        let secrets = Everywhere {
            folder: SecretsFolder(Some(folder.path().join("secrets"))),
            keys: Box::new(move || Arc::clone(&keys)),
        };
        let allow = setup
            .allow
            .iter()
            .map(|text| text.parse().expect("a network"));
        let client = Client {
            guard: Guard::allowing(allow.collect()),
            resolver: Arc::new(names.clone()),
            tls: deliver::roots(None).expect("TLS"),
            limits: setup.limits,
            clock: Timestamp::now,
        };
        let running = {
            let _inside = runtime.enter();
            let outbox = Arc::new(Embedded::new(store.clone()).expect("an outbox"));
            let metrics = metrics.deliver.clone();
            let mut parts = Parts::new(outbox, Arc::new(secrets), client, metrics);
            parts.rules = setup.rules;
            let stopped = async {
                let _ = stopped.await;
            };
            tokio::spawn(deliver::run(parts, declared, handle.clone(), stopped))
        };
        let world = Self {
            store,
            metrics,
            handle,
            names,
            folder,
            sinks: told,
            stop: Some(stop),
            running: Some(running),
            runtime,
        };
        for sink in sinks {
            world.until("a sink begins", || world.try_view(&sink.realm).is_some());
        }
        world
    }

    /// Stops and starts again on the same folder.
    pub(crate) fn restart(self, sinks: &[Sink]) -> Self {
        let (folder, names) = (Arc::clone(&self.folder), self.names.clone());
        drop(self);
        Self::again(Setup::default(), sinks, folder, names)
    }

    /// Declares these sinks from now on.
    pub(crate) fn declare(&self, sinks: &[Sink]) {
        self.sinks.send_replace(Arc::new(by_name(sinks)));
        for sink in sinks {
            self.until("a sink is declared", || {
                self.try_view(&sink.realm)
                    .is_some_and(|view| *view.sink == *sink)
            });
        }
    }

    pub(crate) fn write_secret(&self, name: &str, secret: &str) {
        let path = self.folder.path().join("secrets/shop").join(name);
        std::fs::write(path, secret).expect("written");
    }

    /// Keeps an event as it is, settled.
    pub(crate) fn settle(&self, event: &Event) {
        self.runtime
            .block_on(self.store.append_settled(event))
            .expect("kept");
    }

    /// Keeps so many events of a domain, settled; gives their ids.
    pub(crate) fn settle_many(&self, domain: &str, count: usize) -> Vec<String> {
        let events: Vec<_> = (0..count)
            .map(|n| open(domain, &format!("m-{n}")))
            .collect();
        self.settle_all(&events);
        events.iter().map(|event| event.id.to_string()).collect()
    }

    /// Keeps events as they are, settled, together.
    pub(crate) fn settle_all(&self, events: &[Event]) {
        let kept = events.iter().map(|event| self.store.append_settled(event));
        for pending in kept.collect::<Vec<_>>() {
            self.runtime.block_on(pending).expect("kept");
        }
    }

    fn try_view(&self, sink: &Realm) -> Option<View> {
        self.runtime.block_on(self.handle.view(sink)).ok()
    }

    pub(crate) fn view(&self, sink: &str) -> View {
        self.try_view(&sink.parse().expect("realm"))
            .expect("a view")
    }

    pub(crate) fn ask<T>(&self, question: impl Future<Output = T>) -> T {
        self.runtime.block_on(question)
    }

    pub(crate) fn until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{what}: not so");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(running) = self.running.take() {
            let _ = self.runtime.block_on(running);
        }
        let _ = self.runtime.block_on(self.store.close());
    }
}

/// The keyring of all worlds.
pub(crate) fn keyring() -> Keyring {
    let mut random = [7; 35];
    random[3] = 1;
    Keyring::generate(random).expect("a good key")
}

fn by_name(sinks: &[Sink]) -> Sinks {
    let each = sinks
        .iter()
        .map(|sink| (sink.realm.clone(), Arc::new(sink.clone())));
    each.collect()
}

/// A sink of `shop` that takes everything.
pub(crate) fn sink(name: &str, url: &str) -> Sink {
    serde_json::from_value(serde_json::json!({
        "version": 1, "realm": format!("shop/{name}"), "generation": 1, "url": url,
        "secrets": ["key"], "kinds": ["opened", "clicked"],
        "verdicts": ["human", "proxy", "prefetch", "scanner", "unknown"],
    }))
    .expect("a sink")
}

/// A sink of `shop` named `orders`, for a receiver.
pub(crate) fn orders(receiver: &Receiver) -> Sink {
    sink("orders", &receiver.url())
}

/// An open of a message by Ada.
pub(crate) fn open(domain: &str, message: &str) -> Event {
    Event {
        id: uuid::Uuid::now_v7(),
        kind: EventKind::Opened,
        time: Timestamp::now(),
        domain: domain.parse().expect("realm"),
        host: "links.shop.example".parse().expect("host"),
        message_id: message.parse().expect("id"),
        recipient: Some("ada@example.org".parse().expect("recipient")),
        tags: [].into(),
        link: None,
        client: Who {
            verdict: Verdict::Human,
            ..Who::default()
        },
        first: true,
        test: false,
    }
}

/// The ids of what came.
pub(crate) fn ids(receiver: &Receiver) -> Vec<String> {
    receiver
        .received()
        .iter()
        .map(|r| r.id().to_owned())
        .collect()
}
