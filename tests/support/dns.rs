//! A real DNS server on loopback, whose names tests change.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::process::PATIENCE;
use crate::tied::Tied;

/// Tries to find a port before giving up: between looking and starting another
/// process may take it.
const STARTS_MAX: usize = 5;
/// How long one answer is waited for.
const ANSWER: Duration = Duration::from_millis(200);

/// CoreDNS, with a zone `example` of the test's own; names below
/// `broken.example` are answered with SERVFAIL, all others with NXDOMAIN.
pub struct Dns {
    server: Tied,
    address: SocketAddr,
    folder: tempfile::TempDir,
    zone: Mutex<Zone>,
}

struct Zone {
    /// From 1 on: 0 is no change to CoreDNS.
    serial: u32,
    names: BTreeMap<String, Vec<IpAddr>>,
}

/// What a question for an IPv4 address came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dug {
    /// So many addresses.
    Addresses(u16),
    /// NXDOMAIN.
    NoName,
    /// SERVFAIL.
    Failed,
    /// Another code.
    Refused,
    /// No answer in time.
    Silence,
}

impl Dns {
    /// A server without names.
    ///
    /// # Panics
    /// If it does not answer within 30 seconds.
    pub fn start() -> Self {
        let coredns = crate::cluster::programs(&["dns"]).join("coredns");
        let folder = tempfile::tempdir().expect("a folder");
        let zone = Zone {
            serial: 1,
            names: BTreeMap::new(),
        };
        zone.write(folder.path());
        for _ in 0..STARTS_MAX {
            let address = free_port();
            let corefile = write_configuration(folder.path(), address);
            let words = [&coredns, Path::new("-conf"), &corefile];
            let server = Tied::start(&words.map(|word| word.to_str().expect("text")));
            let begun = Instant::now();
            while begun.elapsed() < PATIENCE / STARTS_MAX as u32 {
                if dig(address, "s1.example") == Dug::Addresses(1) {
                    return Self {
                        server,
                        address,
                        folder,
                        zone: Mutex::new(zone),
                    };
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        panic!("CoreDNS does not answer");
    }

    /// Where it is asked, over UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets a name below `example` lead to these addresses, and returns once
    /// that is answered. Without addresses the name is gone.
    pub fn lead(&self, name: &str, to: &[IpAddr]) {
        assert!(name.ends_with(".example"), "{name} is not below example");
        let mut zone = self.zone.lock().expect("no test panics in here");
        zone.serial += 1;
        zone.names.insert(name.to_owned(), to.to_vec());
        zone.names.retain(|_, to| !to.is_empty());
        zone.write(self.folder.path());
        let begun = Instant::now();
        while dig(self.address, &format!("s{}.example", zone.serial)) != Dug::Addresses(1) {
            assert!(begun.elapsed() < PATIENCE, "the zone is not read again");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks for the IPv4 addresses of a name.
    pub fn dig(&self, name: &str) -> Dug {
        dig(self.address, name)
    }

    /// Stops answering, until [`Dns::resume`]: questions are never answered.
    pub fn pause(&self) {
        self.server.signal("STOP");
    }

    /// Answers again.
    pub fn resume(&self) {
        self.server.signal("CONT");
    }
}

impl Zone {
    /// Written as a whole, with a name that tells its serial number.
    fn write(&self, folder: &Path) {
        let serial = self.serial;
        let mut text = format!(
            "$TTL 1\n@ IN SOA ns.example. root.example. {serial} 60 60 60 1\n\
             @ IN NS ns.example.\ns{serial} IN A 127.0.0.1\n"
        );
        for (name, addresses) in &self.names {
            for address in addresses {
                let kind = if address.is_ipv4() { "A" } else { "AAAA" };
                let _ = writeln!(text, "{name}. IN {kind} {address}");
            }
        }
        let part = folder.join("part");
        fs::write(&part, text).expect("a zone is written");
        fs::rename(part, folder.join("zone")).expect("a zone is replaced");
    }
}

fn write_configuration(folder: &Path, address: SocketAddr) -> std::path::PathBuf {
    fs::write(folder.join("none"), "").expect("an empty file");
    let (here, port, ip) = (folder.display(), address.port(), address.ip());
    // `hosts` says SERVFAIL of what it does not know.
    let text = format!(
        "example:{port} {{\n bind {ip}\n file {here}/zone {{\n  reload 20ms\n }}\n}}\n\
         broken.example:{port} {{\n bind {ip}\n hosts {here}/none\n}}\n"
    );
    let corefile = folder.join("Corefile");
    fs::write(&corefile, text).expect("a configuration is written");
    corefile
}

/// A port that is free for UDP and TCP.
fn free_port() -> SocketAddr {
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = tcp.local_addr().expect("bound");
    // Where it is taken for UDP the server does not start, and another is tried.
    drop(tcp);
    address
}

/// One question for the IPv4 addresses of a name (RFC 1035, 4.1).
fn dig(server: SocketAddr, name: &str) -> Dug {
    let mut question = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(u8::try_from(label.len()).expect("a label"));
        question.extend(label.bytes());
    }
    question.extend([0, 0, 1, 0, 1]);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    socket.set_read_timeout(Some(ANSWER)).expect("a time-out");
    let mut answer = [0; 512];
    let asked = socket.send_to(&question, server);
    match asked.and_then(|_| socket.recv(&mut answer)) {
        Ok(12..) => match answer[3] & 0x0f {
            0 => Dug::Addresses(u16::from_be_bytes([answer[6], answer[7]])),
            2 => Dug::Failed,
            3 => Dug::NoName,
            _ => Dug::Refused,
        },
        _ => Dug::Silence,
    }
}
