//! Tokens: what is sealed opens, and nothing else does.

use super::*;
use crate::id::LinkPosition;
use crate::target::Target;

fn keys() -> Keys {
    let mut random = [7; 35];
    random[3] = 1;
    Keys::new(Keyring::generate(random).expect("a good key"))
}

fn realm() -> Realm {
    "shop/links".parse().expect("realm")
}

fn mail(message: &str, recipient: Option<&str>) -> Mail {
    Mail {
        message: message.parse().expect("message id"),
        recipient: recipient.map(|r| r.parse().expect("recipient")),
        sent: Hour::from_unix_seconds(1_790_000_000),
        test: false,
        opens_on: true,
    }
}

fn click(target: &str) -> Claim {
    let link = Link {
        position: LinkPosition(3),
        target: Target::parse(target).expect("target"),
    };
    Claim {
        mail: mail("m-1", Some("ada@example.org")),
        purpose: Purpose::Click(link),
    }
}

#[test]
fn every_claim_reads_back_what_it_says() {
    let keys = keys();
    let link = |position, target| Link {
        position: LinkPosition(position),
        target: Target::parse(target).expect("target"),
    };
    let uuid = "0193d5c0-1f2e-7abc-8def-0123456789ab";
    for message in ["m", uuid, &uuid.to_uppercase(), "Grüße", &"x".repeat(128)] {
        for recipient in [None, Some("ada@example.org"), Some(&*"r".repeat(254))] {
            for purpose in [
                Purpose::Open,
                Purpose::Withdraw,
                Purpose::Click(link(1, "https://www.e.com/?a=1&b=2")),
                Purpose::Click(link(127, "http://e.com/")),
                Purpose::App(link(u32::MAX, "HTTPS://E.com/Path")),
                Purpose::App(link(128, "http://www.e.com/#x")),
            ] {
                let claim = Claim {
                    mail: mail(message, recipient),
                    purpose,
                };
                let token = keys.seal(&realm(), &claim);
                assert_eq!(keys.open(&realm(), claim.kind(), &token), Ok(claim));
            }
        }
    }
}

#[test]
fn the_same_claim_gives_the_same_token_and_another_gives_another() {
    let keys = keys();
    let token = keys.seal(&realm(), &click("https://e.com/"));
    assert_eq!(token, keys.seal(&realm(), &click("https://e.com/")));
    assert_ne!(token, keys.seal(&realm(), &click("https://e.com/x")));
}

#[test]
fn nothing_of_the_reader_or_the_target_stands_in_the_text() {
    let token = keys().seal(&realm(), &click("https://e.com/secret"));
    let bytes = data_encoding::BASE32_DNSSEC
        .decode(token.as_bytes())
        .expect("base32");
    for secret in ["ada", "example", "e.com", "secret", "m-1"] {
        assert!(
            !bytes.windows(secret.len()).any(|w| w == secret.as_bytes()),
            "{secret}"
        );
    }
}

#[test]
fn a_token_of_another_realm_or_kind_does_not_open() {
    let keys = keys();
    let token = keys.seal(&realm(), &click("https://e.com/"));
    let other: Realm = "shop/other".parse().expect("realm");
    assert_eq!(
        keys.open(&other, Kind::Click, &token),
        Err(OpenError::Forged)
    );
    for kind in [Kind::Open, Kind::App, Kind::Withdraw] {
        assert_eq!(keys.open(&realm(), kind, &token), Err(OpenError::Malformed));
    }
}

#[test]
fn a_changed_byte_or_a_cut_is_refused_everywhere() {
    let keys = keys();
    let token = keys.seal(&realm(), &click("https://e.com/"));
    let bytes = data_encoding::BASE32_DNSSEC
        .decode(token.as_bytes())
        .expect("base32");
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            let text = data_encoding::BASE32_DNSSEC.encode(&changed);
            assert!(
                keys.open(&realm(), Kind::Click, &text).is_err(),
                "byte {at}, bit {bit}"
            );
        }
    }
    for length in 0..token.len() {
        assert!(
            keys.open(&realm(), Kind::Click, &token[..length]).is_err(),
            "{length} characters"
        );
    }
}

#[test]
fn two_tokens_spliced_together_are_refused() {
    let keys = keys();
    let one = keys.seal(&realm(), &click("https://e.com/one"));
    let two = keys.seal(&realm(), &click("https://e.com/two"));
    for at in 1..one.len() {
        let spliced = format!("{}{}", &one[..at], &two[at..]);
        if spliced != one && spliced != two {
            assert!(
                keys.open(&realm(), Kind::Click, &spliced).is_err(),
                "at {at}"
            );
        }
    }
}

#[test]
fn a_key_in_any_state_but_revoked_opens_what_it_sealed() {
    let keys = keys();
    let token = keys.seal(&realm(), &click("https://e.com/"));
    let id = keys.keyring().active().id;
    let mut random = [9; 35];
    random[4] = 2;
    let newer = Keyring::generate(random).expect("a good key");
    let merged = keys.keyring().merge(&newer).expect("merged");
    let rotated = Keys::new(merged.clone());
    assert!(rotated.open(&realm(), Kind::Click, &token).is_ok());
    assert_eq!(
        Keys::new(newer).open(&realm(), Kind::Click, &token),
        Err(OpenError::UnknownKey(id))
    );
    let revoked = merged.to_document().replace("VerifyOnly", "Revoked");
    let revoked = Keys::new(Keyring::parse(revoked.as_bytes()).expect("a keyring"));
    assert_eq!(
        revoked.open(&realm(), Kind::Click, &token),
        Err(OpenError::Revoked(id))
    );
}

#[test]
fn case_86_the_manglings_of_mail_clients_are_undone() {
    let keys = keys();
    let token = keys.seal(&realm(), &click("https://e.com/"));
    let middle = token.len() / 2;
    let (head, tail) = token.split_at(middle);
    let twice: String = token.bytes().map(|b| format!("%25{b:02X}")).collect();
    let mut mangled = vec![
        token.to_uppercase(),
        format!("{head}=\r\n{tail}"),
        format!("{head}=%0D%0A{tail}"),
        format!("{head}=%0A{tail}"),
        format!("{head}={tail}"),
        twice,
    ];
    for glued in [
        "=",
        ")",
        ".",
        ",",
        ";",
        ">",
        "]",
        "'",
        "\"",
        "%3D",
        "=3D",
        "=3d",
        "&amp;utm=1",
        "&x",
        "/",
        "%253D",
        "%3E",
        "%22",
        ").",
        "?x=1",
        ">,",
    ] {
        mangled.push(format!("{token}{glued}"));
    }
    for text in mangled {
        assert!(keys.open(&realm(), Kind::Click, &text).is_ok(), "{text:?}");
    }
}

#[test]
fn case_86_other_manglings_are_not_tolerated() {
    let keys = keys();
    let token = keys.seal(&realm(), &click("https://e.com/"));
    for text in [
        format!("{token}x"),
        format!("{token}!"),
        format!("{token}%20"),
        format!("-{token}"),
        format!("{token}/x"),
        format!("({token}"),
        String::new(),
        "z".repeat(TOKEN_TEXT_MAX_BYTES + 1),
    ] {
        assert!(keys.open(&realm(), Kind::Click, &text).is_err(), "{text:?}");
    }
}

#[test]
fn a_million_forged_tokens_open_nothing() {
    let keys = keys();
    let realm = realm();
    let genuine = keys.seal(&realm, &click("https://e.com/"));
    let genuine = data_encoding::BASE32_DNSSEC
        .decode(genuine.as_bytes())
        .expect("base32");
    // A fixed xorshift: the same million in every run, none drawn from a clock.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut forged = 0;
    while forged < 1_000_000 {
        let mut bytes = genuine.clone();
        // The frame stays right, so that every attempt reaches the cipher.
        for byte in &mut bytes[HEADER_BYTES..] {
            if next() & 7 == 0 {
                *byte = next() as u8;
            }
        }
        if bytes == genuine {
            continue;
        }
        let mut text = String::new();
        text::encode(&bytes, &mut text);
        assert_eq!(
            keys.open(&realm, Kind::Click, &text),
            Err(OpenError::Forged)
        );
        forged += 1;
    }
}

#[test]
fn links_of_a_mail_sealed_in_a_row_are_those_sealed_alone() {
    let keys = keys();
    let mail = click("https://e.com/").mail;
    let mut clicks = LinkSealer::clicks(&keys, &realm(), &mail);
    let mut apps = LinkSealer::apps(&keys, &realm(), &mail);
    for position in [1, 0, 127, 128, u32::MAX] {
        for url in [
            "https://e.com/a/longer/one",
            "http://www.e.com/",
            "HTTP://e.com",
        ] {
            let target = Target::parse(url).expect("a target");
            let position = LinkPosition(position);
            let link = Link {
                position,
                target: target.clone(),
            };
            for (sealer, purpose) in [
                (&mut clicks, Purpose::Click(link.clone())),
                (&mut apps, Purpose::App(link)),
            ] {
                let mut text = String::from("x");
                sealer.seal(position, &target, &mut text);
                let mail = mail.clone();
                let alone = keys.seal(&realm(), &Claim { mail, purpose });
                assert_eq!(text, format!("x{alone}"));
                assert!(alone.len() <= sealer.text_chars(&target));
            }
        }
    }
}
