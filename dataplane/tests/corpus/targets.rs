//! What is fuzzed: each target takes any bytes and panics where a promise is
//! broken. The fuzzer feeds them, and the tests what it once found.

use std::ops::Range;

use ada_url::Url;
use http::Method;
use mailtrail_core::id::LinkPosition;
use mailtrail_core::target::{Target, TargetError};
use mailtrail_core::token::{Claim, Kind, Link, Purpose};
use mailtrail_dataplane::serve::route::route;
use mailtrail_dataplane::store::inspect::read_segment;

use crate::{job, made, steady};

/// Takes any bytes.
pub(crate) type Run = fn(&[u8]);

/// All targets with the names of their folders.
#[allow(dead_code, reason = "the fuzzer's binaries name one each")]
pub(crate) const ALL: [(&str, Run); 5] = [
    ("token", token),
    ("rewrite", rewrite),
    ("target_url", target_url),
    ("request", request),
    ("segment", segment),
];

/// Nobody makes a token without the keys, and a mangled one opens to what was
/// sealed or not at all.
pub(crate) fn token(data: &[u8]) {
    let job = job::defaults();
    let (keys, realm) = (&job.keys, &job.domain.realm);
    let text = String::from_utf8_lossy(data);
    for kind in Kind::ALL {
        assert!(keys.open(realm, kind, &text).is_err(), "forged");
    }
    let link = Link {
        position: LinkPosition(data.len() as u32),
        target: Target::parse("https://e.com/x?y=1#z").expect("a target"),
    };
    let claim = Claim {
        mail: job.mail.clone(),
        purpose: Purpose::Click(link),
    };
    let sealed = keys.seal(realm, &claim);
    let mut mangled = sealed.into_bytes();
    for change in data.chunks_exact(3) {
        let at = usize::from(change[0]) % (mangled.len() + 1);
        match change[1] % 3 {
            0 => mangled.insert(at, change[2]),
            1 if at < mangled.len() => mangled[at] = change[2],
            _ => mangled.truncate(at.max(1)),
        }
    }
    if let Ok(opened) = keys.open(realm, Kind::Click, &String::from_utf8_lossy(&mangled)) {
        assert_eq!(opened, claim, "spliced");
    }
}

/// Only what may change changes; chunks and a second time make no difference.
pub(crate) fn rewrite(data: &[u8]) {
    steady::rewrite(&job::eager(), data);
}

/// A target is what another implementation of the URL standard reads.
pub(crate) fn target_url(data: &[u8]) {
    let value = String::from_utf8_lossy(data);
    let stripped = value
        .trim_matches(|c: char| c <= ' ')
        .replace(['\t', '\n', '\r'], "");
    let shared_scheme = stripped.starts_with("//") || stripped.starts_with("\\\\");
    let absolute = match shared_scheme {
        true => format!("https://{}", &stripped[2..]),
        false => stripped.clone(),
    };
    let read = Url::parse(&absolute, None).ok();
    let is_web = |url: &Url| matches!(url.protocol(), "http:" | "https:");
    match Target::parse(&value) {
        Ok(target) => {
            let text = target.as_str();
            assert!(text.bytes().all(|b| (0x21..=0x7e).contains(&b)), "{text}");
            assert_eq!(Target::parse_exact(text).as_ref(), Ok(&target));
            // The two know different versions of Unicode, and a character that
            // one of them does not know makes a host invalid.
            let Some(read) = read else {
                assert!(!stripped.is_ascii(), "ada-url reads it too");
                return;
            };
            assert!(is_web(&read));
            assert!(text == absolute || text == read.href(), "{text}");
            let again = Url::parse(text, None).expect("ada-url reads the target");
            assert_eq!(again.href(), read.href());
        }
        Err(TargetError::Userinfo) => {
            let read = read.expect("ada-url reads it too");
            assert!(!read.username().is_empty() || !read.password().is_empty());
        }
        Err(TargetError::Invalid) => {}
        Err(_) => assert!(!read.as_ref().is_some_and(is_web), "{value}"),
    }
}

/// Any method, host and path has a route, and no token of it opens.
pub(crate) fn request(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(3, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let (method, host, path) = (next(), next(), next());
    let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET);
    let found = route(&method, path, host);
    if let Some(host) = &found.host {
        assert!(!host.is_empty() && host.len() <= 253, "{host}");
        assert!(!host.bytes().any(|b| b.is_ascii_uppercase()), "{host}");
    }
    let job = job::defaults();
    if let Some(own) = mailtrail_core::link::own_path(path) {
        assert!(
            job.keys
                .open(&job.domain.realm, own.kind, own.token)
                .is_err()
        );
    }
}

/// Any bytes open as a segment of the journal. Of a sound one, whatever is
/// written over it, the records that nothing touched are read, in order, and
/// it says when something was passed over.
pub(crate) fn segment(data: &[u8]) {
    read_segment(data).expect("memory is read");
    let sound = made::segment();
    let mut bytes = sound.bytes.clone();
    let mut touched = Vec::new();
    for change in data.chunks_exact(4) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
        let to = (at + usize::from(change[2] % 64)).min(bytes.len());
        bytes[at..to].fill(change[3]);
        touched.push(at..to);
    }
    let is_intact = |range: &Range<usize>| bytes[range.clone()] == sound.bytes[range.clone()];
    let intact = sound.frames.iter().filter(|(_, range)| is_intact(range));
    let intact: Vec<_> = intact.map(|(number, _)| *number).collect();
    let read = read_segment(&bytes).expect("memory is read");
    // Under one of the two headers; without both nothing can be told from chance.
    if made::HEADERS.iter().any(is_intact) || read.numbers == intact {
        assert_eq!(read.numbers, intact, "{touched:?}");
    }
    assert!(
        read.skipped || read.numbers.len() == sound.frames.len(),
        "{touched:?}"
    );
}
