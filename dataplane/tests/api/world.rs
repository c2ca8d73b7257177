//! A running API with domains, keys and a store of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use mailtrail_core::config::{Clicks, Domain, Opens, Recorded, Snapshot};
use mailtrail_core::event::{Client, Event, EventKind, EventLink, Unsettled};
use mailtrail_core::id::LinkPosition;
use mailtrail_core::keyring::Keyring;
use mailtrail_core::sink::Sink;
use mailtrail_core::target::Target;
use mailtrail_core::token::Keys;
use mailtrail_dataplane::api::{self, Authorizer, Context, Settings, auth};
use mailtrail_dataplane::config::Live;
use mailtrail_dataplane::deliver::attempt::{Client as SinkClient, Limits};
use mailtrail_dataplane::deliver::guard::Guard;
use mailtrail_dataplane::deliver::resolve::System;
use mailtrail_dataplane::deliver::secrets::SecretsFolder;
use mailtrail_dataplane::deliver::{self, Handle, Parts};
use mailtrail_dataplane::metrics::Metrics;
use mailtrail_dataplane::store::{self, Embedded, Store};
use tokio::sync::oneshot;

/// A token of the servers that want one.
pub(crate) const TOKEN: &str = "a-token-of-the-tests-0123456789";

/// The time at all servers: 2026-11-23T18:30:00Z.
pub(crate) fn now() -> Timestamp {
    "2026-11-23T18:30:00Z".parse().expect("a time")
}

/// What a server is made of.
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) domains: Vec<Domain>,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    /// How long a hit waits for its verdict.
    pub(crate) settle: Duration,
}

/// A server; dropping it drains it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) store: Store,
    pub(crate) live: Arc<Live>,
    pub(crate) metrics: Arc<Metrics>,
    runtime: tokio::runtime::Runtime,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

/// Opens and clicks on, text off; verified.
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

/// The domains of most tests.
pub(crate) fn domains() -> Vec<Domain> {
    let mut quiet = domain("shop/quiet", "quiet.shop.example");
    quiet.opens.enabled = false;
    quiet.clicks.enabled = false;
    let mut texts = domain("shop/texts", "texts.shop.example");
    texts.clicks.plain_text = true;
    let mut fresh = domain("shop/fresh", "fresh.shop.example");
    fresh.verified = false;
    vec![
        domain("shop/links", "links.shop.example"),
        quiet,
        texts,
        fresh,
        domain("toys/links", "links.toys.example"),
    ]
}

/// A click on a link of a message.
pub(crate) fn click(domain: &str, message: &str) -> Event {
    Event {
        id: uuid::Uuid::now_v7(),
        kind: EventKind::Clicked,
        time: now(),
        domain: domain.parse().expect("realm"),
        host: "links.shop.example".parse().expect("host"),
        message_id: message.parse().expect("id"),
        recipient: Some("ada@example.org".parse().expect("recipient")),
        tags: [("kind".to_owned(), "news".to_owned())].into(),
        link: Some(EventLink {
            target: Target::parse("https://shop.example/").expect("target"),
            position: LinkPosition(1),
            name: None,
        }),
        client: Client::default(),
        first: false,
        test: false,
    }
}

/// A loaded pixel of a message.
pub(crate) fn open(domain: &str, message: &str) -> Event {
    Event {
        kind: EventKind::Opened,
        link: None,
        recipient: None,
        ..click(domain, message)
    }
}

impl World {
    /// No tokens, as on one's own machine.
    pub(crate) fn open() -> Self {
        Self {
            settings: Settings {
                // Other tests keep the disk busy.
                record_time: Duration::from_secs(10),
                ..Settings::default()
            },
            domains: domains(),
            authorizer: Arc::new(auth::Open),
            settle: Duration::ZERO,
        }
    }

    /// Callers are known by [`TOKEN`].
    pub(crate) fn with_tokens() -> Self {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), format!("{TOKEN}\n")).expect("written");
        let tokens = auth::TokensFile::open(file.path().into()).expect("usable");
        // The file goes; the last good tokens stay.
        Self {
            authorizer: Arc::new(tokens),
            ..Self::open()
        }
    }

    pub(crate) fn start(self) -> Server {
        let dir = tempfile::tempdir().expect("a folder");
        let metrics = Arc::new(Metrics::new());
        let settings = store::Settings {
            settle: self.settle,
            ..store::Settings::at(dir.path())
        };
        let store = Store::open(settings, Arc::clone(&metrics)).expect("a store");
        let mut random = [7; 35];
        random[3..].iter_mut().zip(1..).for_each(|(b, at)| *b = at);
        let keys = Keys::new(Keyring::generate(random).expect("a keyring"));
        let live = Arc::new(Live::new(
            Snapshot::new(self.domains).expect("domains"),
            keys,
        ));
        live.replace_sinks(
            [sink()]
                .into_iter()
                .map(|s| (s.realm.clone(), Arc::new(s)))
                .collect(),
        );
        let sinks = Handle::default();
        let context = Context {
            live: Arc::clone(&live),
            store: store.clone(),
            sinks: sinks.clone(),
            metrics: Arc::clone(&metrics),
            local_port: 8080,
            clock: Arc::new(now),
            authorizer: self.authorizer,
            settings: self.settings,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(deliver(&store, &live, &metrics, sinks));
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let handle = runtime.handle().clone();
        let thread = std::thread::spawn(move || {
            handle.block_on(api::serve(listener, context, async {
                let _ = stopped.await;
            }));
        });
        Server {
            address,
            store,
            live,
            metrics,
            runtime,
            stop: Some(stop),
            thread: Some(thread),
            _dir: dir,
        }
    }
}

/// The sink of all tests; nobody can be delivered to.
fn sink() -> Sink {
    serde_json::from_value(serde_json::json!({
        "version": 1, "realm": "shop/links", "generation": 1, "url": "http://127.0.0.1:9/",
        "secrets": ["key"], "kinds": ["opened", "clicked"], "verdicts": ["human"],
    }))
    .expect("a sink")
}

/// Starts deliveries, and waits until they can be asked.
async fn deliver(store: &Store, live: &Live, metrics: &Metrics, handle: Handle) {
    let client = SinkClient {
        guard: Guard::default(),
        resolver: Arc::new(System),
        tls: deliver::roots(None).expect("TLS"),
        limits: Limits::default(),
        clock: Timestamp::now,
    };
    let outbox = Arc::new(Embedded::new(store.clone()).expect("an outbox"));
    let secrets = Arc::new(SecretsFolder(None));
    let parts = Parts::new(outbox, secrets, client, metrics.deliver.clone());
    let never = std::future::pending();
    tokio::spawn(deliver::run(parts, live.sinks(), handle.clone(), never));
    let realm = sink().realm;
    while handle.view(&realm).await.is_err() {
        tokio::task::yield_now().await;
    }
}

impl Server {
    /// Keeps the hit of an event and waits until it is settled.
    pub(crate) fn keep(&self, event: &Event) {
        self.keep_hit(event);
        while !self.store.is_settled() {
            std::thread::yield_now();
        }
    }

    /// Keeps the hit of an event and waits for the disk.
    pub(crate) fn keep_hit(&self, event: &Event) {
        self.keep_hit_as(event, Recorded::Identified);
    }

    /// The same, of which no more is recorded than this.
    pub(crate) fn keep_hit_as(&self, event: &Event, recorded: Recorded) {
        let hit = Unsettled {
            event: event.clone(),
            signs: Vec::new(),
            mail_sent: event.time,
            recorded,
        };
        self.runtime
            .block_on(self.store.append_hit(&hit))
            .expect("kept");
    }

    /// Keeps an event as it is, settled, and waits for the disk.
    pub(crate) fn keep_settled(&self, event: &Event) {
        self.runtime
            .block_on(self.store.append_settled(event))
            .expect("kept");
    }

    /// Keeps a withdrawal and waits for the disk.
    pub(crate) fn withdraw(&self, realm: &str, recipient: &str) {
        let (realm, recipient) = (
            realm.parse().expect("realm"),
            recipient.parse().expect("recipient"),
        );
        self.runtime
            .block_on(self.store.withdraw(&realm, &recipient))
            .expect("kept");
    }

    /// Closes the store under the server: nothing is kept any more.
    pub(crate) fn close_store(&self) {
        self.runtime.block_on(self.store.close()).expect("closed");
    }

    /// Begins to shut down.
    pub(crate) fn begin_to_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Waits until the last connection has ended.
    pub(crate) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("served without a panic");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.begin_to_stop();
        self.join();
    }
}
