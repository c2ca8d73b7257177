//! What the mails are rewritten with.

use std::sync::Arc;

use mailtrail_core::config::{Clicks, Domain, LinkChoice, Opens, PixelPlacement, Snapshot};
use mailtrail_core::keyring::Keyring;
use mailtrail_core::link::UrlBase;
use mailtrail_core::token::{Hour, Keys, Mail};
use mailtrail_dataplane::rewrite::{Job, Tracking};

/// A domain as one gets it by turning both toggles on.
pub(crate) fn defaults() -> Job {
    job(LinkChoice::Leave)
}

/// A domain that also tracks links with credentials and links that read as URLs.
pub(crate) fn eager() -> Job {
    job(LinkChoice::Track)
}

fn job(doubtful: LinkChoice) -> Job {
    let domain = Domain {
        generation: 1,
        verified: true,
        opens: Opens {
            enabled: true,
            ..Opens::default()
        },
        clicks: Clicks {
            enabled: true,
            plain_text: true,
            url_text: doubtful,
            sensitive: doubtful,
            ..Clicks::default()
        },
        ..Domain::new(
            "shop/links".parse().expect("realm"),
            "links.shop.example".parse().expect("host"),
        )
    };
    let mut random = [7; 35];
    random[3] = 1;
    Job {
        base: UrlBase::new(&domain.host, 8080),
        snapshot: Arc::new(Snapshot::new([domain.clone()]).expect("snapshot")),
        domain: Arc::new(domain),
        keys: Arc::new(Keys::new(Keyring::generate(random).expect("a good key"))),
        mail: Mail {
            message: "0193d5c0-1f2e-7abc-8def-0123456789ab"
                .parse()
                .expect("message id"),
            recipient: Some("ada@example.org".parse().expect("recipient")),
            sent: Hour::from_unix_seconds(1_790_000_000),
            test: false,
            opens_on: true,
        },
        tracking: Tracking {
            opens: true,
            clicks: true,
            text: true,
            pixel: PixelPlacement::Auto,
        },
        unsubscribe_urls: Vec::new(),
    }
}
