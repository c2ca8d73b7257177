//! What is held of a reader, and their wish that nothing be: exported, withdrawn,
//! erased. A reader is named in a body alone.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use mailtrail_core::config::Domain;
use mailtrail_core::id::Recipient;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::{Caller, Verb};
use super::openapi::{Bodies, Common, DomainPath, NotFound};
use super::pages::{Pages, json_lines, lines_while_read};
use super::problem::{Code, Problem};
use super::rewrite::print;
use super::schema::{Event, EventKind, Message, printed_day};
use super::scope::Scope;
use super::{App, asked, body, examples};
use crate::store::{
    Cursor, EraseError, Erased as Removed, EventFilter, EventQuery, LastDate, MessageQuery,
    PAGE_MAX_MESSAGES, Withdrawn,
};

/// Of whom.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(examples::to_recipient))]
#[expect(dead_code, reason = "describes what the handler takes from the body")]
pub(super) struct RecipientRequest {
    /// The reader, exactly as the rewrites named them.
    #[schema(
        min_length = 1,
        max_length = 254,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$"
    )]
    recipient: String,
}

/// What was erased.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Erased {
    /// Events of theirs.
    pub events: u64,
    /// Message records of mails to them.
    pub messages: u64,
}

/// Erase a recipient
///
/// Takes all that is held of a reader in this domain off the disk: events and
/// message records. From then on nothing more is recorded of them; their links
/// still lead where they lead. Who is allowed to read is not for that allowed
/// to erase. A recipient is who mails were rewritten for, byte by byte: another
/// case or spelling of an address is another recipient, of whom nothing is
/// found. It may take a while: where the answer is 503, ask again, and what
/// is left is done.
#[utoipa::path(
    post,
    path = "/v1/domains/{namespace}/{name}/recipients/erase",
    operation_id = "eraseRecipient",
    tag = "recipients",
    params(DomainPath),
    request_body(content = RecipientRequest, content_type = "application/json", example = json!(examples::to_recipient())),
    responses(
        (status = 200, description = "Nothing of theirs is held any more.", body = Erased, content_type = "application/json",
            example = json!(examples::erased())),
        Common,
        NotFound,
        Bodies
    )
)]
pub(super) async fn erase(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    path: DomainPath,
    request: Request,
) -> Result<Response, Problem> {
    let domain = app.domain_of_path(&caller, Verb::Erase, &path).await?;
    let recipient = named(&app, request).await?;
    let store = app.context.store.clone();
    // A caller who goes away stops nothing: what has begun is done.
    let erasing = tokio::task::spawn_blocking(move || store.erase(&domain.realm, &recipient));
    let Removed { events, messages } =
        erasing.await.map_err(|_| Problem::new(Code::Internal))??;
    Ok(print(&Erased { events, messages }))
}

/// The withdrawal is kept.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RecipientWithdrawn {
    /// Always true.
    pub withdrawn: bool,
}

/// Withdraw a recipient
///
/// From the answer on nothing is recorded of a reader in this domain: neither
/// hits, of mails already sent too, nor message records. Other replicas know of it
/// a second later, 5 s at most; hits of that time are left out, too. Their links still lead
/// where they lead. What was recorded before stays; erase it where that is
/// wished, too. The same as what a reader does on the page of
/// `{{mailtrail:optout}}`. It is for good.
#[utoipa::path(
    post,
    path = "/v1/domains/{namespace}/{name}/recipients/withdraw",
    operation_id = "withdrawRecipient",
    tag = "recipients",
    params(DomainPath),
    request_body(content = RecipientRequest, content_type = "application/json", example = json!(examples::to_recipient())),
    responses(
        (status = 200, description = "Nothing of theirs is recorded any more.", body = RecipientWithdrawn, content_type = "application/json",
            example = json!(examples::withdrawn())),
        Common,
        NotFound,
        Bodies
    )
)]
pub(super) async fn withdraw(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    path: DomainPath,
    request: Request,
) -> Result<Response, Problem> {
    let domain = app.domain_of_path(&caller, Verb::Withdraw, &path).await?;
    let recipient = named(&app, request).await?;
    let kept = app.context.store.withdraw(&domain.realm, &recipient);
    kept.await.map_err(|error| {
        tracing::error!(%error, "A withdrawal could not be kept");
        Problem::new(Code::Unavailable).detail("the withdrawal is not kept: ask again")
    })?;
    tracing::info!(domain.realm = %domain.realm, "a recipient was withdrawn by a caller of the API");
    Ok(print(&RecipientWithdrawn { withdrawn: true }))
}

/// A line of an export.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Held {
    /// Whether they have withdrawn: the first line.
    Withdrawn(bool),
    /// A mail that was rewritten for them.
    Message(Box<Message>),
    /// The day on which they last did something with a mail, where no more of that
    /// is kept.
    LastDate(Box<LastDay>),
    /// Something they, or a machine for them, did.
    Event(Box<Event>),
}

/// On which day a reader last opened a mail, or followed a link of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LastDay {
    /// The mail.
    pub message_id: String,
    /// What they did.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// The day, of UTC.
    #[schema(format = "date")]
    pub day: String,
}

/// Export a recipient
///
/// All that is held of a reader in this domain, as lines of JSON: first
/// `{"withdrawn": …}`, then each `{"message": …}`, newest first, each
/// `{"last_date": …}`, then each `{"event": …}`, oldest first. Hits that wait for their verdict come some
/// seconds later. One that breaks off ends without the end that HTTP asks for.
#[utoipa::path(
    post,
    path = "/v1/domains/{namespace}/{name}/recipients/export",
    operation_id = "exportRecipient",
    tag = "recipients",
    params(DomainPath),
    request_body(content = RecipientRequest, content_type = "application/json", example = json!(examples::to_recipient())),
    responses(
        (status = 200, description = "All that is held, one a line.", content((Held = "application/x-ndjson"))),
        Common,
        NotFound,
        Bodies
    )
)]
pub(super) async fn export(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    path: DomainPath,
    request: Request,
) -> Result<Response, Problem> {
    let domain = app.domain_of_path(&caller, Verb::Export, &path).await?;
    let recipient = named(&app, request).await?;
    let withdrawn = app.context.store.withdrawn(&domain.realm, &recipient);
    let withdrawn = match withdrawn {
        Withdrawn::Yes => true,
        Withdrawn::No => false,
        Withdrawn::NotLoaded | Withdrawn::Incomplete => {
            return Err(Problem::new(Code::Unavailable)
                .detail("whether they have withdrawn is not known: ask again"));
        }
    };
    tracing::info!(domain.realm = %domain.realm, "what is held of a recipient is exported");
    let mut left = Export {
        app,
        domain,
        recipient,
        at: At::Messages(None),
    };
    let mut first = json_lines(std::iter::once(Held::Withdrawn(withdrawn)));
    first.extend(left.next().await?);
    Ok(lines_while_read(first, left))
}

impl From<LastDate> for LastDay {
    fn from(last: LastDate) -> Self {
        Self {
            message_id: last.message.to_string(),
            kind: last.kind.into(),
            day: printed_day(last.day),
        }
    }
}

/// What is left of an export.
struct Export {
    app: App,
    domain: Arc<Domain>,
    recipient: Recipient,
    at: At,
}

/// Where an export is.
enum At {
    Messages(Option<Cursor>),
    Days,
    Events(Option<Cursor>),
    End,
}

impl Pages for Export {
    fn more(&self) -> bool {
        !matches!(self.at, At::End)
    }

    async fn next(&mut self) -> Result<Vec<u8>, Problem> {
        match &mut self.at {
            At::Messages(after) => {
                let wanted = MessageQuery {
                    domain: self.domain.realm.clone(),
                    recipient: Some(self.recipient.clone()),
                    tags: Default::default(),
                    id_prefix: None,
                    since: None,
                    until: None,
                    after: after.take(),
                    limit: PAGE_MAX_MESSAGES,
                };
                let messages = move |scope: &Scope<'_>| scope.messages(&wanted);
                let page = self.app.read(&self.domain, messages).await?;
                self.at = match page.next {
                    Some(next) => At::Messages(Some(next)),
                    None => At::Days,
                };
                let held = page.messages.into_iter().map(Message::from).map(Box::new);
                Ok(json_lines(held.map(Held::Message)))
            }
            At::Days => {
                let (realm, recipient) = (self.domain.realm.clone(), self.recipient.clone());
                let lasts = move |scope: &Scope<'_>| scope.last_dates(&realm, &recipient);
                let lasts = self.app.read(&self.domain, lasts).await?;
                self.at = At::Events(None);
                let held = lasts.into_iter().map(LastDay::from).map(Box::new);
                Ok(json_lines(held.map(Held::LastDate)))
            }
            At::Events(after) => {
                let theirs = EventFilter {
                    recipient: Some(self.recipient.clone()),
                    ..EventFilter::default()
                };
                let wanted = EventQuery {
                    filter: theirs,
                    after: after.take(),
                    ..EventQuery::of(self.domain.realm.clone())
                };
                let events = move |scope: &Scope<'_>| scope.events(&wanted);
                let page = self.app.read(&self.domain, events).await?;
                self.at = match page.more {
                    true => At::Events(Some(page.next)),
                    false => At::End,
                };
                let held = page.events.into_iter().map(Event::from).map(Box::new);
                Ok(json_lines(held.map(Held::Event)))
            }
            At::End => Ok(Vec::new()),
        }
    }
}

/// The reader whom a body names.
async fn named(app: &App, request: Request) -> Result<Recipient, Problem> {
    let mut fields = body::small_json(app, request).await?;
    let recipient = fields.parsed("recipient", asked::name);
    let recipient = fields.require("recipient", recipient);
    fields.finish()?;
    // One that is missing has ended this above.
    recipient.ok_or_else(|| Problem::field("recipient", "is required"))
}

impl From<EraseError> for Problem {
    fn from(error: EraseError) -> Self {
        // What the disk said is in the log.
        tracing::error!(%error, "A recipient could not be erased");
        Self::new(Code::Unavailable).detail("not all is erased: ask again")
    }
}
