//! The pure step from a spec to the entry that replicas serve. What it takes
//! has passed the schema and its rules; it parses once more into types that
//! cannot be wrong, and every error names the field.

use std::fmt::Display;
use std::str::FromStr;

use mailtrail_core::config as core;
use mailtrail_core::id::{Host, Realm};
use mailtrail_core::target::Target;

use crate::claim::Lasting;
use crate::domain::{
    AddressDetail, AndroidApp, Apps, Clicks, LinkChoice, Opens, Pixel, Privacy, Recorded,
    TrackingDomain, TrackingDomainSpec, UserAgentDetail, Verification,
};
use crate::duration::retention_days;

mod narrowed;

pub use narrowed::narrowed;

/// What is known of a domain beside its spec.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether the host has been found to lead here. Waived by the spec's
    /// `verification: None`.
    pub verified: bool,
    /// Hosts the domain once had, which go on answering.
    pub former_hosts: Vec<Host>,
    /// Since when its namespace is there, in seconds since 1970; 0 where there
    /// is none.
    pub since: i64,
}

/// Why there is no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// A field does not hold what it should.
    #[error("{field}: {rule}")]
    Field {
        /// Path of the field, such as `spec.aliases[1]`.
        field: String,
        /// What would be right.
        rule: String,
    },
    /// The entry is longer than it may be.
    #[error("the configuration entry takes {bytes} bytes and may take {max}")]
    TooLong {
        /// What it takes.
        bytes: usize,
        /// What it may take.
        max: usize,
    },
}

/// Makes the entry of a domain. A missing namespace or name is an error: the
/// caller fills in what stands for it.
pub fn entry(domain: &TrackingDomain, facts: Facts) -> Result<core::Domain, EntryError> {
    let metadata = &domain.metadata;
    let realm = Realm::new(
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
    )
    .map_err(|error| field("metadata", error.rule()))?;
    let entry = of_spec(realm, metadata.generation.unwrap_or(0), &domain.spec, facts)?;
    let bytes = serde_json::to_vec(&entry).map_or(usize::MAX, |json| json.len());
    if bytes > core::ENTRY_MAX_BYTES {
        let max = core::ENTRY_MAX_BYTES;
        return Err(EntryError::TooLong { bytes, max });
    }
    Ok(entry)
}

/// What of a domain is served when its object is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlives {
    /// Days that events are kept.
    pub retention_days: u16,
    /// Offered where a link does not open.
    pub fallback: Option<Target>,
    /// Apps that may take over links.
    pub apps: core::Apps,
}

/// Reads what a claim keeps of a domain.
pub fn lasting(kept: &Lasting) -> Result<Outlives, EntryError> {
    let Lasting {
        retention,
        fallback,
        apps,
    } = kept;
    let retention_days =
        retention_days(retention).map_err(|error| field("spec.lasting.retention", error))?;
    Ok(Outlives {
        retention_days,
        fallback: fallback.as_deref().map(of_fallback).transpose()?,
        apps: of_apps(apps),
    })
}

fn of_spec(
    realm: Realm,
    generation: i64,
    spec: &TrackingDomainSpec,
    facts: Facts,
) -> Result<core::Domain, EntryError> {
    // Taken apart whole: a new field does not compile until it is thought of.
    let TrackingDomainSpec {
        class_name: _, // says who serves it, not how
        host,
        aliases,
        opens,
        clicks,
        privacy,
        retention,
        verification,
        fallback,
        apps,
        deletion_policy: _, // speaks when the object is gone
    } = spec;
    let host: Host = parse("spec.host", host)?;
    let mut other_hosts: Vec<Host> = parse_all("spec.aliases", aliases)?;
    for former in facts.former_hosts {
        if former != host && !other_hosts.contains(&former) {
            other_hosts.push(former);
        }
    }
    let retention_days =
        retention_days(retention).map_err(|error| field("spec.retention", error))?;
    let recording = Recording::of(opens.record, clicks.record, privacy.record);
    Ok(core::Domain {
        version: core::ENTRY_VERSION,
        realm,
        generation,
        host,
        other_hosts,
        since: facts.since,
        state: core::DomainState::Active,
        verified: facts.verified || *verification == Verification::None,
        opens: of_opens(*opens, recording.opens),
        clicks: of_clicks(clicks, recording.clicks)?,
        privacy: of_privacy(*privacy, recording.domain),
        retention_days,
        fallback: fallback.as_deref().map(of_fallback).transpose()?,
        apps: of_apps(apps),
    })
}

/// What is recorded, in as few words as say it.
struct Recording {
    domain: core::Recorded,
    opens: Option<core::Recorded>,
    clicks: Option<core::Recorded>,
}

impl Recording {
    fn of(opens: Option<Recorded>, clicks: Option<Recorded>, domain: Recorded) -> Self {
        let of_kind = |own: Option<Recorded>| of_recorded(own.unwrap_or(domain));
        Self::least(of_kind(opens), of_kind(clicks))
    }

    fn least(opens: core::Recorded, clicks: core::Recorded) -> Self {
        // The least of both is the default, which takes no bytes.
        let domain = opens.min(clicks);
        let own = |toggle| (toggle != domain).then_some(toggle);
        Self {
            domain,
            opens: own(opens),
            clicks: own(clicks),
        }
    }
}

fn of_opens(opens: Opens, record: Option<core::Recorded>) -> core::Opens {
    let Opens {
        enabled,
        pixel,
        record: _, // with that of clicks and of the domain
    } = opens;
    core::Opens {
        enabled,
        pixel: match pixel {
            Pixel::Auto => core::PixelPlacement::Auto,
            Pixel::Top => core::PixelPlacement::Top,
            Pixel::Bottom => core::PixelPlacement::Bottom,
            Pixel::Both => core::PixelPlacement::Both,
        },
        record,
    }
}

fn of_clicks(clicks: &Clicks, record: Option<core::Recorded>) -> Result<core::Clicks, EntryError> {
    let Clicks {
        enabled,
        plain_text,
        text_is_url,
        sensitive,
        never_track_hosts,
        max_links,
        record: _, // with that of opens and of the domain
    } = clicks;
    Ok(core::Clicks {
        enabled: *enabled,
        plain_text: *plain_text == LinkChoice::Track,
        url_text: of_choice(*text_is_url),
        sensitive: of_choice(*sensitive),
        never_track_hosts: parse_all("spec.clicks.neverTrackHosts", never_track_hosts)?,
        links_max: u32::try_from(*max_links)
            .map_err(|_| field("spec.clicks.maxLinks", "must not be negative"))?,
        record,
    })
}

fn of_choice(choice: LinkChoice) -> core::LinkChoice {
    match choice {
        LinkChoice::Leave => core::LinkChoice::Leave,
        LinkChoice::Track => core::LinkChoice::Track,
    }
}

fn of_privacy(privacy: Privacy, record: core::Recorded) -> core::Privacy {
    let Privacy {
        address,
        user_agent,
        record: _, // with that of opens and clicks
    } = privacy;
    core::Privacy {
        address: match address {
            AddressDetail::Omit => core::AddressDetail::Omit,
            AddressDetail::Truncate => core::AddressDetail::Truncate,
            AddressDetail::Full => core::AddressDetail::Full,
        },
        user_agent: match user_agent {
            UserAgentDetail::Omit => core::UserAgentDetail::Omit,
            UserAgentDetail::Full => core::UserAgentDetail::Full,
        },
        record,
    }
}

fn of_recorded(recorded: Recorded) -> core::Recorded {
    match recorded {
        Recorded::Identified => core::Recorded::Identified,
        Recorded::LastDate => core::Recorded::LastDate,
        Recorded::Anonymous => core::Recorded::Anonymous,
    }
}

fn of_fallback(url: &str) -> Result<Target, EntryError> {
    // Parsed whole: `parse_exact` is for what an opened token says. What is
    // offered must be what was written.
    match Target::parse(url) {
        Ok(target) if target.as_str() == url => Ok(target),
        Ok(_) => Err(field("spec.fallback", "is not a URL in its plain form")),
        Err(error) => Err(field("spec.fallback", error)),
    }
}

fn of_apps(apps: &Apps) -> core::Apps {
    let Apps { apple, android } = apps;
    core::Apps {
        apple: apple.clone(),
        android: android.iter().map(of_android).collect(),
    }
}

fn of_android(app: &AndroidApp) -> core::AndroidApp {
    let AndroidApp {
        package_name,
        sha256_fingerprints,
    } = app;
    core::AndroidApp {
        package: package_name.clone(),
        sha256_fingerprints: sha256_fingerprints.clone(),
    }
}

fn parse_all<T: FromStr<Err: Display>>(path: &str, texts: &[String]) -> Result<Vec<T>, EntryError> {
    let parse_one = |(at, text): (usize, &String)| parse(&format!("{path}[{at}]"), text);
    texts.iter().enumerate().map(parse_one).collect()
}

pub(crate) fn parse<T: FromStr<Err: Display>>(path: &str, text: &str) -> Result<T, EntryError> {
    text.parse().map_err(|error: T::Err| field(path, error))
}

pub(crate) fn field(path: &str, rule: impl Display) -> EntryError {
    EntryError::Field {
        field: path.to_owned(),
        rule: rule.to_string(),
    }
}

#[cfg(test)]
mod tests;
