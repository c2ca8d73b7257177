//! From a request and a domain to one rewrite, and to the message record that
//! it leaves behind.

use std::sync::Arc;

use jiff::Timestamp;
use mailtrail_core::config::{Domain, DomainState, Recorded, Snapshot};
use mailtrail_core::event::EventKind;
use mailtrail_core::link::UrlBase;
use mailtrail_core::message::{MessageRecord, RecordedLink};
use mailtrail_core::token::{Hour, Keys, Mail};

use super::auth::{Caller, Verb};
use super::problem::{Code, Problem};
use super::request::{Asked, AskedTracking, DomainName};
use super::settings::INLINE_MAX_BYTES;
use super::{Context, Shared};
use crate::rewrite::report::{PixelReason, Report, Warning, WarningCode};
use crate::rewrite::{self, Counted, Job, Rewritten, Tracking};
use crate::store::{NotKept, Store, Withdrawn};

/// One rewrite that may be done.
pub(super) struct Plan {
    asked: Asked,
    domain: Arc<Domain>,
    snapshot: Arc<Snapshot>,
    keys: Arc<Keys>,
    now: Timestamp,
    local_port: u16,
}

/// Bodies in or out.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    /// The HTML.
    pub html: Option<String>,
    /// The plain text.
    pub text: Option<String>,
}

impl Plan {
    /// Finds the domain and asks whether the caller may rewrite for it.
    pub(super) async fn new(app: &Shared, caller: &Caller, asked: Asked) -> Result<Self, Problem> {
        let domain = match &asked.domain {
            DomainName::Realm(realm) => app.domain(caller, Verb::Rewrite, realm).await?,
            DomainName::Host(host) => app.domain_of_host(caller, Verb::Rewrite, host).await?,
        };
        let Context {
            live,
            clock,
            local_port,
            ..
        } = &app.context;
        Ok(Self {
            asked,
            domain,
            snapshot: live.snapshot(),
            keys: live.keys(),
            now: clock(),
            local_port: *local_port,
        })
    }

    /// Only tell, change and record nothing.
    pub(super) fn dry_run(&self) -> bool {
        self.asked.dry_run
    }

    /// What the rewriter needs. `has_html` says whether there is a body that a
    /// pixel can stand in.
    pub(super) fn job(&self, has_html: bool) -> Job {
        let tracking = effective(&self.domain, self.asked.tracking);
        Job {
            domain: Arc::clone(&self.domain),
            keys: Arc::clone(&self.keys),
            snapshot: Arc::clone(&self.snapshot),
            base: UrlBase::new(&self.domain.host, self.local_port),
            mail: Mail {
                message: self.asked.message_id.clone(),
                recipient: self.asked.recipient.clone(),
                sent: Hour::from_unix_seconds(self.now.as_second()),
                test: self.asked.test,
                opens_on: tracking.opens && has_html,
            },
            tracking,
            unsubscribe_urls: self.asked.unsubscribe_urls.clone(),
        }
    }

    /// Rewrites both bodies; the text's links are numbered behind the HTML's.
    pub(super) fn rewrite(&self, bodies: Bodies) -> (Bodies, Rewritten) {
        let job = self.job(bodies.html.is_some());
        let text_job = bodies.text.is_some().then(|| job.clone());
        let (html, mut done) = match bodies.html {
            Some(html) => rewrite_html(job, html),
            None => (None, unmodified(PixelReason::NoHtml)),
        };
        let text = text_job.zip(bodies.text).map(|(job, text)| {
            let (text, of_text) = rewrite::text(&job, done.counted, &text);
            done.report.links.extend(of_text.report.links);
            done.report.warnings.extend(of_text.report.warnings);
            done.links.extend(of_text.links);
            done.counted = of_text.counted;
            text
        });
        (Bodies { html, text }, done)
    }

    /// The warning that nothing is tracked, or about what was asked for and is
    /// not allowed.
    pub(super) fn narrowed(&self) -> Option<Warning> {
        if self.domain.state != DomainState::Active {
            return Some(Warning {
                code: WarningCode::DomainRetired,
                detail: "the tracking domain is no longer declared: nothing is tracked".to_owned(),
            });
        }
        let asked = self.asked.tracking;
        let has = effective(&self.domain, AskedTracking::default());
        let more: Vec<_> = [
            ("tracking.opens", asked.opens, has.opens),
            ("tracking.clicks", asked.clicks, has.clicks),
            ("tracking.text", asked.text, has.text),
        ]
        .into_iter()
        .filter_map(|(name, asked, has)| (asked == Some(true) && !has).then_some(name))
        .collect();
        (!more.is_empty()).then(|| Warning {
            code: WarningCode::TrackingNarrowed,
            detail: format!(
                "the tracking domain does not allow {}; a request can only narrow",
                more.join(", ")
            ),
        })
    }

    /// Has the message record kept, within a bounded wait. The warning says
    /// that it was not.
    pub(super) async fn record(
        &self,
        context: &Context,
        links: Vec<RecordedLink>,
        report: &Report,
    ) -> Option<Warning> {
        if self.asked.dry_run {
            return None;
        }
        let withdrawn = self
            .asked
            .recipient
            .as_ref()
            .map_or(Withdrawn::No, |recipient| {
                context.store.withdrawn(&self.domain.realm, recipient)
            });
        let warning = |code, detail: &str| {
            Some(Warning {
                code,
                detail: detail.to_owned(),
            })
        };
        let not_recorded = |detail| warning(WarningCode::MessageNotRecorded, detail);
        match withdrawn {
            Withdrawn::Yes => {
                return warning(
                    WarningCode::RecipientWithdrawn,
                    "the recipient has withdrawn from tracking, or was erased: nothing of theirs \
                     is recorded",
                );
            }
            Withdrawn::NotLoaded => {
                return not_recorded(
                    "who has withdrawn from tracking is not known yet: until then nothing is \
                     recorded of recipients",
                );
            }
            Withdrawn::Incomplete => {
                return not_recorded(
                    "some of who has withdrawn from tracking is lost: until that is restored \
                     nothing is recorded of recipients",
                );
            }
            Withdrawn::No => {}
        }
        let kept = keep(
            context.store.clone(),
            self.message_record(links, report),
            self.recorded(),
        );
        let why = match tokio::time::timeout(context.settings.record_time, kept).await {
            Ok(Ok(())) => return None,
            Ok(Err(_)) => "the store could not keep the message record: statistics miss it",
            Err(_) => {
                "the message record was not on the disk in time: it may come late, and until then \
                 statistics miss it"
            }
        };
        context.metrics.api.messages_not_recorded.inc();
        not_recorded(why)
    }

    /// What is kept of the mail itself: as much as of what is tracked in it;
    /// where nothing is, what the domain says.
    fn recorded(&self) -> Recorded {
        let tracking = effective(&self.domain, self.asked.tracking);
        let opens = tracking.opens.then_some(EventKind::Opened);
        let clicks = tracking.clicks.then_some(EventKind::Clicked);
        let kinds = opens.into_iter().chain(clicks);
        let least = kinds.map(|kind| self.domain.recorded(kind)).min();
        least.unwrap_or(self.domain.privacy.record)
    }

    fn message_record(&self, links: Vec<RecordedLink>, report: &Report) -> MessageRecord {
        let asked = &self.asked;
        MessageRecord {
            domain: self.domain.realm.clone(),
            message_id: asked.message_id.clone(),
            recipient: asked.recipient.clone(),
            rewritten_at: self.now,
            tags: asked.tags.clone(),
            links,
            pixel: report.pixel.placed,
            test: asked.test,
            from: asked.from.clone(),
            to: asked.to.clone(),
            subject: asked.subject.clone(),
            sent_at: asked.sent_at,
        }
    }
}

/// Keeps as much of a message record as is to be recorded.
async fn keep(store: Store, record: MessageRecord, recorded: Recorded) -> Result<(), NotKept> {
    let appended = tokio::task::spawn_blocking(move || match recorded {
        Recorded::Identified => store.append_message(&record),
        Recorded::LastDate => store.append_message(&without_address(record)),
        Recorded::Anonymous => store.append_sent(&record),
    });
    appended.await.map_err(|_| NotKept)?.await
}

/// What a message record need not hold where of its reader a day is kept alone.
fn without_address(record: MessageRecord) -> MessageRecord {
    MessageRecord {
        from: None,
        to: None,
        subject: None,
        ..record
    }
}

/// Narrows what the domain tracks by what was asked for; never widens it.
fn effective(domain: &Domain, asked: AskedTracking) -> Tracking {
    let clicks = domain.records_clicks() && asked.clicks != Some(false);
    Tracking {
        opens: domain.records_opens() && asked.opens != Some(false),
        clicks,
        text: clicks && domain.clicks.plain_text && asked.text != Some(false),
        pixel: asked.pixel.unwrap_or(domain.opens.pixel),
    }
}

fn rewrite_html(job: Job, html: String) -> (Option<String>, Rewritten) {
    let (bytes, mut done) = rewrite::html(job, html.as_bytes());
    match String::from_utf8(bytes) {
        Ok(rewritten) => (Some(rewritten), done),
        Err(_) => {
            // Splicing text into text gives text. Should that ever be untrue,
            // the mail still has to read.
            tracing::error!("A rewritten mail was not UTF-8; it was returned unmodified");
            done = unmodified(PixelReason::Unparsable);
            done.report.warnings.push(Warning {
                code: WarningCode::Unparsable,
                detail: "the mail is unmodified".to_owned(),
            });
            (Some(html), done)
        }
    }
}

/// Nothing found and nothing placed.
fn unmodified(why: PixelReason) -> Rewritten {
    let mut report = Report::default();
    report.pixel.reason = Some(why);
    Rewritten {
        report,
        links: Vec::new(),
        counted: Counted::default(),
    }
}

impl Shared {
    /// Computes something whose work grows with `bytes`: a few at once, and
    /// what takes long on a thread where it holds up no other request.
    pub(super) async fn compute<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let place = Arc::clone(&self.rewrites).acquire_owned().await;
        if bytes <= INLINE_MAX_BYTES {
            return Ok(work());
        }
        let work = move || {
            let _place = place;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| {
            tracing::error!("A rewrite ended in a panic; its request was answered 500");
            Problem::new(Code::Internal)
        })
    }
}
