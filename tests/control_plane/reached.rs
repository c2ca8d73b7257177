//! What stands between readers and hosts in tests: names and TLS.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Output};

use mailtrail_tests::{Authority, Dns, Dug, Front};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[test]
fn a_name_leads_where_a_test_says_and_nowhere_once_it_is_gone() {
    let dns = Dns::start();
    assert_eq!(dns.dig("links.shop.example"), Dug::NoName);
    dns.lead(
        "links.shop.example",
        &[HERE, "127.0.0.2".parse().expect("an address")],
    );
    assert_eq!(dns.dig("links.shop.example"), Dug::Addresses(2));
    dns.lead("other.shop.example", &["::1".parse().expect("an address")]);
    assert_eq!(dns.dig("other.shop.example"), Dug::Addresses(0));
    dns.lead("links.shop.example", &[]);
    assert_eq!(dns.dig("links.shop.example"), Dug::NoName);
    assert_eq!(dns.dig("links.broken.example"), Dug::Failed);
    dns.pause();
    assert_eq!(dns.dig("links.shop.example"), Dug::Silence);
    dns.resume();
    assert_eq!(dns.dig("links.shop.example"), Dug::NoName);
}

/// Answers each connection with one word.
fn backend(word: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((HERE, 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let length = word.len();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{word}");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn each_host_has_its_certificate_and_its_data_plane() {
    let (authority, front) = (Authority::new(), Front::start());
    let port = front.address().port();
    let get = |host: &str, more: &[&str]| -> Output {
        Command::new("curl")
            .args(["--silent", "--max-time", "10", "--noproxy", "*"])
            .args(["--resolve", &format!("{host}:{port}:127.0.0.1")])
            .args(more)
            .arg(format!("https://{host}:{port}/"))
            .output()
            .expect("curl is installed")
    };
    let pem = authority.pem();
    let trusting = ["--cacert", pem.to_str().expect("text")];
    let (one, other) = (backend("one"), backend("other"));
    let of = |host: &str| authority.certificate(host);
    front.serve("links.one.example", &of("links.one.example"), one);
    front.serve("links.other.example", &of("links.other.example"), other);
    assert_eq!(get("links.one.example", &trusting).stdout, b"one");
    assert_eq!(get("links.other.example", &trusting).stdout, b"other");

    // curl's exit codes: 60 is a certificate that is not valid, 35 a failed handshake.
    let code = |host: &str, more: &[&str]| get(host, more).status.code();
    assert_eq!(code("links.one.example", &[]), Some(60));
    front.serve("links.one.example", &of("links.other.example"), one);
    assert_eq!(code("links.one.example", &trusting), Some(60));
    front.serve(
        "links.one.example",
        &authority.expired("links.one.example"),
        one,
    );
    assert_eq!(code("links.one.example", &trusting), Some(60));
    front.forget("links.one.example");
    assert_eq!(code("links.one.example", &trusting), Some(35));
    assert_eq!(get("links.other.example", &trusting).stdout, b"other");
}
