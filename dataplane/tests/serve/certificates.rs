//! Which certificate a host is shown, and what becomes of one whose files change.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use mailtrail_dataplane::config::Looked;
use mailtrail_dataplane::metrics::Metrics;
use mailtrail_dataplane::serve::tls;
use mailtrail_tests::Authority;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;

use crate::secure::{Anyone, Mount, connect, dial, mount, shake_hands, try_connect};
use crate::world::{HOST, World};

/// What a reader is shown who asks for a host.
fn shown(
    world: &World,
    config: Arc<ClientConfig>,
    host: &str,
) -> io::Result<CertificateDer<'static>> {
    let stream = shake_hands(dial(world), config, host, b"")?;
    let chain = stream.conn.peer_certificates().expect("certificates");
    Ok(chain[0].clone().into_owned())
}

#[test]
fn a_host_is_shown_the_certificate_that_names_it() {
    let mount = Mount::of(&[
        ("a-wild", &["*.shop.example", "Shop.Example"]),
        ("b-links", &[HOST]),
    ]);
    mount.swap(|inside| {
        mount.authority.write(&[HOST], 60, &inside.join("c-longer"));
        mount
            .authority
            .write(&["*.shop.example"], 10, &inside.join("d-shorter"));
    });
    let world = mount.world(|_| {});
    let shown = |host| shown(&world, mount.config(&[]), host);
    for (host, expected) in [
        (HOST, "c-longer"),
        ("LINKS.shop.example", "c-longer"),
        ("news.shop.example", "a-wild"),
        ("shop.example", "a-wild"),
    ] {
        let shown = shown(host).expect("TLS");
        assert!(shown == mount.shown(expected), "{host}");
    }
    for stranger in ["a.b.shop.example", "links.other.example", "example"] {
        let error = shown(stranger).expect_err("no certificate").to_string();
        assert!(error.contains("alert"), "{stranger}: {error}");
    }
    world.counts(r#"public_refusals_total{limit="handshake"}"#, 3);
    world.counts("public_tls_handshakes_total", 4);
}

#[test]
fn who_names_no_host_is_shown_the_first_by_its_folders_name() {
    let mount = Mount::of(&[("a", &["other.example"]), ("b", &[HOST])]);
    let world = mount.world(|_| {});
    let mut config = ClientConfig::clone(&mount.config(&[]));
    config.enable_sni = false;
    let shown = shown(&world, Arc::new(config), "other.example").expect("TLS");
    assert!(shown == mount.shown("a"));
}

#[test]
fn a_swapped_certificate_is_shown_from_then_on_and_what_is_open_goes_on() {
    let mount = mount();
    let world = mount.world(|_| {});
    let config = mount.config(&[]);
    let request = format!(
        "GET {} HTTP/1.1\r\nhost: {HOST}\r\n\r\n",
        world.pixel_path()
    );
    let mut open = connect(&world, &config);
    assert_eq!(open.ask(&request).status, 200);
    let before = mount.shown("shop");
    assert_eq!(world.look_at_certificates(), Looked::Unchanged);

    mount.swap(|inside| {
        mount.authority.write(&[HOST], 60, &inside.join("shop"));
        mount
            .authority
            .write(&["new.example"], 60, &inside.join("new"));
    });
    assert_eq!(world.look_at_certificates(), Looked::Settling);
    let shown = |host| shown(&world, Arc::clone(&config), host);
    assert!(shown(HOST).expect("TLS") == before);
    assert_eq!(world.look_at_certificates(), Looked::Reloaded);
    assert!(shown(HOST).expect("TLS") == mount.shown("shop"));
    assert!(shown("new.example").expect("TLS") == mount.shown("new"));
    assert_eq!(open.ask(&request).status, 200);
    assert_eq!(world.metric("tls_reloads_total"), 1);
}

/// What makes a certificate's files bad, and what is said of it.
type Damage = (&'static str, fn(&Path));

fn write(file: &Path, text: &str) {
    fs::write(file, text).expect("written");
}

const DAMAGES: [Damage; 8] = [
    ("tls.key is not the key of", |folder| {
        let other = tempfile::tempdir().expect("a folder");
        Authority::new().write(&[HOST], 30, other.path());
        fs::copy(other.path().join("tls.key"), folder.join("tls.key")).expect("copied");
    }),
    ("tls.key has no private key", |folder| {
        write(&folder.join("tls.key"), "-----BEGIN SECRET-----\nsesame\n");
    }),
    ("tls.key cannot be read", |folder| {
        fs::remove_file(folder.join("tls.key")).expect("removed");
    }),
    ("tls.key has the mode 644", |folder| {
        let mode = fs::Permissions::from_mode(0o644);
        fs::set_permissions(folder.join("tls.key"), mode).expect("chmod");
    }),
    ("tls.crt has no certificate", |folder| {
        write(&folder.join("tls.crt"), "");
    }),
    ("tls.crt is no chain of X.509", |folder| {
        let pem = "-----BEGIN CERTIFICATE-----\naGk=\n-----END CERTIFICATE-----\n";
        write(&folder.join("tls.crt"), pem);
    }),
    ("tls.crt is larger than 131072 bytes", |folder| {
        write(&folder.join("tls.crt"), &"\n".repeat(200_000));
    }),
    ("tls.crt has more than 16 certificates", |folder| {
        let chain = fs::read_to_string(folder.join("tls.crt")).expect("text");
        write(&folder.join("tls.crt"), &chain.repeat(17));
    }),
];

#[test]
fn a_broken_pair_keeps_the_last_good_one_and_holds_up_no_other() {
    for (what, damage) in DAMAGES {
        let mount = Mount::of(&[("other", &["other.example"]), ("shop", &[HOST])]);
        let world = mount.world(|_| {});
        let (before, config) = (mount.shown("shop"), mount.config(&[]));
        let next = || {
            let _ = world.look_at_certificates();
            world.look_at_certificates()
        };
        mount.swap(|inside| {
            mount
                .authority
                .write(&["other.example"], 60, &inside.join("other"));
            damage(&inside.join("shop"));
        });
        assert_eq!(next(), Looked::Refused, "{what}");
        let shown = |host| shown(&world, Arc::clone(&config), host).expect("TLS");
        assert!(shown(HOST) == before, "{what}");
        assert!(shown("other.example") == mount.shown("other"), "{what}");
        let metrics = ["tls_last_reload_ok", "tls_reload_failures_total"];
        assert_eq!(metrics.map(|name| world.metric(name)), [0, 1]);
        // Told once, not at every look.
        assert_eq!(next(), Looked::Unchanged);

        mount.swap(|inside| mount.authority.write(&[HOST], 60, &inside.join("shop")));
        assert_eq!(next(), Looked::Reloaded, "{what}");
        assert!(shown(HOST) == mount.shown("shop"), "{what}");
        assert_eq!(metrics.map(|name| world.metric(name)), [1, 1]);
    }
}

/// Opens a folder, and what the log says meanwhile.
fn log_of_the_start(folder: &Path) -> String {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || Lines(Arc::clone(&sink)))
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let clock: tls::Clock = Arc::new(Timestamp::now);
        let opened = tls::open(folder.to_owned(), clock, Metrics::new().tls.clone());
        opened.map(drop).expect("it begins all the same");
    });
    let lines = lines.lock().expect("no panic");
    String::from_utf8(lines.clone()).expect("text")
}

struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn at_the_start_a_broken_pair_is_told_by_its_folder_and_rule() {
    for (what, damage) in DAMAGES {
        let mount = mount();
        mount.swap(|inside| damage(&inside.join("shop")));
        let told = log_of_the_start(&mount.path());
        assert!(told.contains("ERROR") && told.contains("/shop: "), "{told}");
        assert!(told.contains(what), "{told}");
        assert!(!told.contains("sesame"), "{told}");
    }
    // All of them at once.
    let mount = Mount::of(&[("a", &[HOST]), ("b", &[HOST]), ("c", &[HOST])]);
    mount.swap(|inside| {
        DAMAGES[1].1(&inside.join("a"));
        DAMAGES[2].1(&inside.join("c"));
    });
    assert_eq!(log_of_the_start(&mount.path()).lines().count(), 2);
    let told = log_of_the_start(&Mount::of(&[]).path());
    assert!(told.contains("has no certificate"), "{told}");
    let told = log_of_the_start(Path::new("/nowhere"));
    assert!(
        told.contains("without any certificate: /nowhere: "),
        "{told}"
    );
}

#[test]
fn a_start_with_a_broken_pair_serves_all_others_and_takes_it_up_once_it_is_good() {
    let mount = Mount::of(&[("other", &["other.example"]), ("shop", &[HOST])]);
    mount.swap(|inside| fs::remove_file(inside.join("shop/tls.key")).expect("removed"));
    let world = mount.world(|_| {});
    let config = mount.config(&[]);
    assert_eq!(world.metric("tls_last_reload_ok"), 0);
    assert!(shown(&world, Arc::clone(&config), "other.example").is_ok());
    assert!(try_connect(&world, &config).is_err());
    assert_eq!(world.get(&world.pixel_path()).status, 200);

    mount.swap(|inside| mount.authority.write(&[HOST], 60, &inside.join("shop")));
    let _ = world.look_at_certificates();
    assert_eq!(world.look_at_certificates(), Looked::Reloaded);
    assert!(try_connect(&world, &config).is_ok());
    assert_eq!(world.metric("tls_last_reload_ok"), 1);
}

#[test]
fn a_start_without_any_certificate_serves_the_plain_port() {
    let mount = Mount::of(&[]);
    let world = mount.world(|_| {});
    let config = mount.config(&[]);
    assert_eq!(world.metric("tls_last_reload_ok"), 0);
    assert!(try_connect(&world, &config).is_err());
    assert_eq!(world.get(&world.link_path()).status, 302);

    mount.swap(|inside| mount.authority.write(&[HOST], 60, &inside.join("shop")));
    let _ = world.look_at_certificates();
    assert_eq!(world.look_at_certificates(), Looked::Reloaded);
    assert!(try_connect(&world, &config).is_ok());
}

/// Days from now, as X.509 has them.
fn day(days: i64) -> String {
    let moment = Timestamp::now() + SignedDuration::from_hours(24 * days);
    moment.strftime("%Y%m%d%H%M%SZ").to_string()
}

#[test]
fn what_is_valid_is_shown_before_what_is_not_as_time_passes() {
    let mount = Mount::of(&[]);
    mount.swap(|inside| {
        for (name, host, begins, expires) in [
            ("a-gone", HOST, -20, -10),
            ("b-wild", "*.shop.example", -10, 20),
            ("c-soon", HOST, 10, 40),
            ("d-later", HOST, 30, 400),
        ] {
            let (begins, expires) = (day(begins), day(expires));
            let folder = inside.join(name);
            mount
                .authority
                .write_between(&[host], &begins, &expires, &folder);
        }
    });
    let days = Arc::new(AtomicI64::new(0));
    let passed = Arc::clone(&days);
    let world = mount.world(|wanted| {
        wanted.tls_clock = Arc::new(move || {
            let hours = 24 * passed.load(Ordering::Relaxed);
            Timestamp::now() + SignedDuration::from_hours(hours)
        });
    });
    let mut config = ClientConfig::clone(&mount.config(&[]));
    config
        .dangerous()
        .set_certificate_verifier(Arc::new(Anyone));
    let anyone = Arc::new(config.clone());
    config.enable_sni = false;
    let nameless = Arc::new(config);
    for (day, named, unnamed) in [
        (0, "b-wild", "b-wild"),
        (15, "c-soon", "b-wild"),
        (35, "d-later", "c-soon"),
        // None is: a client that does not mind is led home.
        (500, "d-later", "a-gone"),
    ] {
        days.store(day, Ordering::Relaxed);
        for (config, expected) in [(&anyone, named), (&nameless, unnamed)] {
            let shown = shown(&world, Arc::clone(config), HOST).expect("TLS");
            assert!(shown == mount.shown(expected), "day {day}: {expected}");
        }
    }
}

#[test]
fn a_folder_that_goes_takes_its_certificate_along_unless_it_is_the_last() {
    let mount = Mount::of(&[("a", &["other.example"]), ("b", &[HOST])]);
    let world = mount.world(|_| {});
    let config = mount.config(&[]);
    let gone = |name: &str| {
        mount.swap(|inside| fs::remove_dir_all(inside.join(name)).expect("removed"));
        let _ = world.look_at_certificates();
        world.look_at_certificates()
    };
    assert_eq!(gone("a"), Looked::Reloaded);
    assert!(shown(&world, Arc::clone(&config), "other.example").is_err());
    assert!(try_connect(&world, &config).is_ok());
    assert!(!world.metrics.encode().contains(r#"certificate="a""#));
    assert_eq!(gone("b"), Looked::Refused);
    assert!(try_connect(&world, &config).is_ok());
}

#[test]
fn it_is_told_when_each_certificate_expires() {
    const DAY_SECONDS: u64 = 24 * 3600;
    let world = mount().world(|_| {});
    let metric = r#"tls_certificate_expiry_timestamp_seconds{certificate="shop"}"#;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let left = world.metric(metric) - now.expect("after 1970").as_secs();
    assert!(
        (29 * DAY_SECONDS..=30 * DAY_SECONDS).contains(&left),
        "{left}"
    );
}

#[test]
fn no_request_fails_while_certificates_are_swapped() {
    let mount = mount();
    let world = mount.world(|_| {});
    let config = mount.config(&[]);
    let request = format!("GET {} HTTP/1.1\r\nhost: {HOST}\r\n\r\n", world.link_path());
    let (asked, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let ask = || {
        while !over.load(Ordering::Relaxed) {
            let mut client = connect(&world, &config);
            for _ in 0..3 {
                assert_eq!(client.ask(&request).status, 302);
                asked.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(ask);
        }
        let mut reloaded = 0;
        while reloaded < 8 {
            mount.swap(|inside| mount.authority.write(&[HOST], 60, &inside.join("shop")));
            let begun = asked.load(Ordering::Relaxed);
            while world.look_at_certificates() != Looked::Reloaded {}
            reloaded += 1;
            while asked.load(Ordering::Relaxed) < begun + 10 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(world.metric("tls_reload_failures_total"), 0);
    assert_eq!(world.events().len(), asked.load(Ordering::Relaxed));
}
