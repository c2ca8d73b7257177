//! `GET /v1/domains` and one of them: what a caller may know of tracking domains.

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use data_encoding::BASE64URL_NOPAD;
use mailtrail_core::config::{
    AddressDetail as CoreAddressDetail, Clicks as CoreClicks, Domain as CoreDomain,
    DomainState as CoreState, LinkChoice as CoreChoice, Opens as CoreOpens,
    PixelPlacement as CorePlacement, Privacy as CorePrivacy, Recorded as CoreRecorded,
    UserAgentDetail as CoreAgentDetail,
};
use mailtrail_core::event::EventKind;
use mailtrail_core::id::Realm;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::asked;
use super::auth::{Caller, Verb};
use super::examples;
use super::openapi::{Common, DomainPath, ListParams, NotFound, QueryProblems};
use super::problem::Problem;
use super::query::Query;
use super::rewrite::print;
use super::schema::words;

/// A tracking domain as it is served now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(examples::domain))]
pub(super) struct Domain {
    /// `namespace/name`.
    pub domain: String,
    /// Host of new links.
    pub host: String,
    /// Further hosts that answer: aliases and former names.
    pub other_hosts: Vec<String>,
    /// Whether it is in use.
    pub state: DomainState,
    /// Whether the host is known to lead here; until then mails come back unchanged.
    pub verified: bool,
    /// Open tracking.
    pub opens: Opens,
    /// Click tracking.
    pub clicks: Clicks,
    /// What events hold of the reader.
    pub privacy: Privacy,
    /// Days that events are kept.
    pub retention_days: u16,
    /// Generation of the resource that is served; 0 where there is none.
    pub generation: i64,
}

words! {
    /// `active`, or `retired`: its resource is gone; links redirect, nothing is
    /// recorded, mails come back unchanged. `orphaned` is shown to nobody: its
    /// namespace is gone as well.
    DomainState of CoreState {
        /// In use.
        Active,
        /// Links redirect, no more.
        Retired,
        /// The same, and nobody may ask for it.
        Orphaned,
    }
}

/// Open tracking.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DomainOpens)]
pub(super) struct Opens {
    /// The toggle.
    pub enabled: bool,
    /// Where the pixel goes.
    pub pixel: PixelPlacement,
    /// What is recorded of opens where they are tracked.
    pub record: Recorded,
}

words! {
    /// An event, which names the message and its reader; a number of hits and the
    /// day of a reader's last; or a number of hits that tells of nobody.
    Recorded of CoreRecorded {
        /// An event.
        Identified,
        /// A number and a day.
        LastDate,
        /// A number.
        Anonymous,
    }
}

words! {
    /// Where the pixel goes; see the rewrite's `tracking.pixel`.
    PixelPlacement of CorePlacement {
        /// Bottom, or top near 102 KB.
        Auto,
        /// Top.
        Top,
        /// Bottom.
        Bottom,
        /// Both.
        Both,
    }
}

/// Click tracking.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DomainClicks)]
pub(super) struct Clicks {
    /// The toggle.
    pub enabled: bool,
    /// Whether links in plain text are tracked too.
    pub plain_text: bool,
    /// What becomes of links whose text is itself a URL.
    pub url_text: LinkChoice,
    /// What becomes of links that carry a credential.
    pub sensitive: LinkChoice,
    /// Hosts whose links are left alone; `*.e.com` means all below it.
    pub never_track_hosts: Vec<String>,
    /// Most links tracked in one mail.
    pub links_max: u32,
    /// What is recorded of clicks where they are tracked.
    pub record: Recorded,
}

words! {
    /// Whether links of a doubtful kind are left alone or tracked.
    LinkChoice of CoreChoice {
        /// Left alone.
        Leave,
        /// Tracked.
        Track,
    }
}

/// What events hold of the reader.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DomainPrivacy)]
pub(super) struct Privacy {
    /// The address.
    pub address: AddressDetail,
    /// The user agent's text.
    pub user_agent: UserAgentDetail,
}

words! {
    /// Nothing, the network (/24 of IPv4, /48 of IPv6), or all of the address.
    AddressDetail of CoreAddressDetail {
        /// Nothing.
        Omit,
        /// The network.
        Truncate,
        /// All of it.
        Full,
    }
}

words! {
    /// Nothing, or the user agent's text.
    UserAgentDetail of CoreAgentDetail {
        /// Nothing.
        Omit,
        /// The text.
        Full,
    }
}

/// A list of tracking domains.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DomainList {
    /// The domains, by name.
    pub domains: Vec<Domain>,
    /// Give it as `after` for what follows; null at the end.
    #[schema(required)]
    pub next: Option<String>,
}

/// List tracking domains
///
/// Those that you may read, sorted by `namespace/name`; in a cluster, those of the
/// namespaces in which you may read all.
#[utoipa::path(
    get,
    path = "/v1/domains",
    operation_id = "listDomains",
    tag = "domains",
    params(ListParams),
    responses(
        (status = 200, description = "Tracking domains.", body = DomainList, content_type = "application/json",
            example = json!(examples::domains())),
        Common,
        QueryProblems
    )
)]
pub(super) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::parse(query.as_deref());
    let after = query.parsed("after", after);
    let limit = asked::limit(&mut query);
    query.finish()?;
    let snapshot = app.context.live.snapshot();
    let mut realms: Vec<&Realm> = snapshot
        .domains()
        .filter(|domain| !domain.is_orphan())
        .map(|domain| &domain.realm)
        .filter(|realm| after.as_ref().is_none_or(|after| *realm > after))
        .collect();
    realms.sort_unstable();
    let mut domains = Vec::new();
    let mut next = None;
    // Sorted, so each namespace is asked for once.
    let mut of_namespace = None;
    for realm in realms {
        if !may_read(&app, &caller, realm, &mut of_namespace).await? {
            continue;
        }
        if domains.len() == limit {
            next = domains.last().map(|last: &Domain| cursor(&last.domain));
            break;
        }
        domains.extend(
            snapshot
                .by_realm(realm)
                .map(|domain| Domain::from(&**domain)),
        );
    }
    Ok(print(&DomainList { domains, next }))
}

/// Whether a list shows a domain; `of_namespace` is what was said of the last
/// one's namespace.
async fn may_read<'a>(
    app: &App,
    caller: &Caller,
    realm: &'a Realm,
    of_namespace: &mut Option<(&'a str, Option<bool>)>,
) -> Result<bool, Problem> {
    let authorizer = &app.context.authorizer;
    let namespace = realm.namespace();
    let whole = match *of_namespace {
        Some((last, whole)) if last == namespace => whole,
        _ => {
            let asked = authorizer.allows_namespace(caller, Verb::Read, namespace);
            let whole = asked.await?;
            *of_namespace = Some((namespace, whole));
            whole
        }
    };
    match whole {
        Some(whole) => Ok(whole),
        None => Ok(authorizer.allows(caller, Verb::Read, realm).await?),
    }
}

/// Show a tracking domain
///
/// Its settings as they are served now.
#[utoipa::path(
    get,
    path = "/v1/domains/{namespace}/{name}",
    operation_id = "getDomain",
    tag = "domains",
    params(DomainPath),
    responses(
        (status = 200, description = "The tracking domain.", body = Domain, content_type = "application/json",
            example = json!(examples::domain())),
        Common,
        NotFound
    )
)]
pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    path: DomainPath,
) -> Result<Response, Problem> {
    let domain = app.domain_of_path(&caller, Verb::Read, &path).await?;
    Ok(print(&Domain::from(&*domain)))
}

fn cursor(domain: &str) -> String {
    BASE64URL_NOPAD.encode(domain.as_bytes())
}

fn after(text: &str) -> Result<Realm, String> {
    BASE64URL_NOPAD
        .decode(text.as_bytes())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|realm| realm.parse().ok())
        .ok_or_else(|| "must be a cursor that a list gave".to_owned())
}

impl From<&CoreDomain> for Domain {
    fn from(domain: &CoreDomain) -> Self {
        // What the public listener needs alone is not told: fallback, apps.
        let CoreDomain {
            version: _,
            realm,
            generation,
            host,
            other_hosts,
            since: _,
            state,
            verified,
            opens,
            clicks,
            privacy,
            retention_days,
            fallback: _,
            apps: _,
        } = domain;
        Self {
            domain: realm.to_string(),
            host: host.to_string(),
            other_hosts: other_hosts.iter().map(ToString::to_string).collect(),
            state: (*state).into(),
            verified: *verified,
            opens: Opens::new(opens, domain.recorded(EventKind::Opened)),
            clicks: Clicks::new(clicks, domain.recorded(EventKind::Clicked)),
            privacy: privacy.into(),
            retention_days: *retention_days,
            generation: *generation,
        }
    }
}

impl Opens {
    fn new(opens: &CoreOpens, recorded: CoreRecorded) -> Self {
        // What it says of recording is said together with the domain.
        let CoreOpens {
            enabled,
            pixel,
            record: _,
        } = *opens;
        Self {
            enabled,
            pixel: pixel.into(),
            record: recorded.into(),
        }
    }
}

impl Clicks {
    fn new(clicks: &CoreClicks, recorded: CoreRecorded) -> Self {
        let CoreClicks {
            enabled,
            plain_text,
            url_text,
            sensitive,
            never_track_hosts,
            links_max,
            record: _,
        } = clicks;
        Self {
            enabled: *enabled,
            plain_text: *plain_text,
            url_text: (*url_text).into(),
            sensitive: (*sensitive).into(),
            never_track_hosts: never_track_hosts.iter().map(ToString::to_string).collect(),
            links_max: *links_max,
            record: recorded.into(),
        }
    }
}

impl From<&CorePrivacy> for Privacy {
    fn from(privacy: &CorePrivacy) -> Self {
        let CorePrivacy {
            address,
            user_agent,
            record: _,
        } = *privacy;
        Self {
            address: address.into(),
            user_agent: user_agent.into(),
        }
    }
}
