//! A request becomes its answer: the driver of the walk hit → event.
//! Decisions here; bytes in `respond`, the event in `hit`, times in `pulse`.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use mailtrail_core::config::Domain;
use mailtrail_core::id::Host;
use mailtrail_core::proof::{self, Challenge};
use mailtrail_core::token::{Keys, Kind, OpenError};
use tokio::time::Sleep;

use super::counts::{HitRoute, Outcome};
use super::open::{Opened, open};
use super::page::{self, Words};
use super::pulse::{Phase, Pulse};
use super::refuse::Refusal;
use super::respond::{self, Body};
use super::route::{Asked, LinkKind, route};
use super::runtime::Runtime;
use super::wire::Protocol;
use super::{EVENT_WAIT, WITHDRAWAL_WAIT, apps, client};
use crate::hit::{self, Hit};
use crate::store::{NotKept, Pending, Withdrawn};

/// Answers the requests of one connection.
pub(super) struct Handler {
    peer: IpAddr,
    protocol: Protocol,
    pulse: Rc<Pulse>,
    runtime: Rc<Runtime>,
}

/// An answer, made or waiting for the store.
pub(super) struct Answer {
    state: State,
    is_head: bool,
    protocol: Protocol,
    pulse: Rc<Pulse>,
    runtime: Rc<Runtime>,
}

enum State {
    Made(Option<Response<Body>>),
    /// An event is being kept; the response goes out in any case.
    Event(Box<KeptFirst>, HitRoute),
    /// A withdrawal is being kept; the response says so only if it was.
    Withdrawal(Box<KeptFirst>),
}

struct KeptFirst {
    pending: Pending,
    until: Pin<Box<Sleep>>,
    response: Option<Response<Body>>,
}

/// One request and what it is answered from.
struct Walk<'a> {
    runtime: &'a Runtime,
    peer: IpAddr,
    method: &'a Method,
    headers: &'a HeaderMap,
    domain: &'a Domain,
    host: &'a Host,
    keys: &'a Keys,
}

// === Handler ===

impl Handler {
    pub(super) fn new(
        peer: IpAddr,
        protocol: Protocol,
        (pulse, runtime): (Rc<Pulse>, Rc<Runtime>),
    ) -> Self {
        Self {
            peer,
            protocol,
            pulse,
            runtime,
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> State {
        let (method, headers) = (request.method(), request.headers());
        let uri = request.uri();
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        if path.len() > self.runtime.limits.uri_bytes {
            return self.refuse(Refusal::UriBytes);
        }
        if headers.len() > self.runtime.limits.headers {
            return self.refuse(Refusal::Headers);
        }
        let host = match (uri.authority(), single_host(headers)) {
            (Some(authority), _) => authority.as_str(),
            (None, Some(host)) => host,
            (None, None) => return self.refuse(Refusal::BadRequest),
        };
        let route = route(method, path, host);
        if !request.body().is_end_stream() && !matches!(route.asked, Asked::Withdraw(_)) {
            return match route.asked {
                Asked::OtherMethod(allow) => self.close_after(respond::other_method(allow)),
                _ => self.refuse(Refusal::BodyBytes),
            };
        }
        let snapshot = self.runtime.context.live.snapshot();
        let found = route
            .host
            .as_deref()
            .and_then(|host| snapshot.by_host_text(host).map(|domain| (domain, host)))
            .and_then(|(domain, name)| {
                let host = domain.hosts().find(|host| host.as_str() == name)?;
                Some((Arc::as_ref(domain), host))
            });
        let Some((domain, host)) = found else {
            self.runtime.context.metrics.serve.other.inc();
            return made(respond::nothing());
        };
        let keys = self.runtime.context.live.keys();
        let walk = Walk {
            runtime: &self.runtime,
            peer: self.peer,
            method,
            headers,
            domain,
            host,
            keys: &keys,
        };
        walk.answer(route.asked)
    }

    fn refuse(&self, refusal: Refusal) -> State {
        self.runtime.context.metrics.serve.refusal(refusal);
        self.close_after(respond::refused(refusal))
    }

    /// The client may be sending still: the connection ends, after a while.
    fn close_after(&self, mut response: Response<Body>) -> State {
        respond::close(&mut response);
        self.pulse.lingers.set(true);
        made(response)
    }
}

impl hyper::service::Service<Request<Incoming>> for Handler {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        let phase = match self.protocol {
            Protocol::Http1 => Phase::Answering,
            Protocol::Http2 => Phase::Streams,
        };
        self.runtime.pulses.enter(&self.pulse, phase);
        Answer {
            state: self.answer(&request),
            is_head: request.method() == Method::HEAD,
            protocol: self.protocol,
            pulse: Rc::clone(&self.pulse),
            runtime: Rc::clone(&self.runtime),
        }
    }
}

/// The request's one `Host`; two are as good as none (RFC 9112, 3.2).
fn single_host(headers: &HeaderMap) -> Option<&str> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    }
}

fn made(response: Response<Body>) -> State {
    State::Made(Some(response))
}

// === Walk ===

impl Walk<'_> {
    fn answer(&self, asked: Asked<'_>) -> State {
        match asked {
            Asked::Pixel(token) => self.pixel(token),
            Asked::Link(kind, token) => self.link(kind, token),
            Asked::WithdrawPage(token) => self.withdraw_page(token),
            Asked::Withdraw(token) => self.withdraw(token),
            other => {
                self.runtime.context.metrics.serve.other.inc();
                made(self.fixed(other))
            }
        }
    }

    fn pixel(&self, token: &str) -> State {
        let route = HitRoute::Open;
        let heads = &self.runtime.heads;
        match open(self.keys, self.domain, Kind::Open, token) {
            Ok(opened) => self.recorded(route, &opened, heads.pixel()),
            Err(OpenError::UnknownKey(_)) => self.unknown_key(route, heads.pixel_of_unknown_key()),
            Err(_) => {
                self.count(route, Outcome::Refused);
                made(heads.pixel())
            }
        }
    }

    fn link(&self, kind: LinkKind, token: &str) -> State {
        let route = HitRoute::Link(kind);
        let opened = match open(self.keys, self.domain, kind.token_kind(), token) {
            Ok(opened) => opened,
            Err(OpenError::UnknownKey(_)) => {
                return self.unknown_key(route, respond::link_of_unknown_key());
            }
            Err(_) => {
                self.count(route, Outcome::Refused);
                return made(self.not_found());
            }
        };
        match opened.link() {
            Some(link) if wants_json(self.headers) => {
                self.recorded(route, &opened, respond::target_json(link))
            }
            Some(link) => self.recorded(route, &opened, self.runtime.heads.redirect(link)),
            None => made(self.not_found()),
        }
    }

    fn withdraw_page(&self, token: &str) -> State {
        self.runtime.context.metrics.serve.other.inc();
        let words = Words::for_reader(self.headers);
        match self.withdrawable(token) {
            Ok(_) => made(respond::html(StatusCode::OK, page::withdraw(words))),
            Err(response) => made(*response),
        }
    }

    fn withdraw(&self, token: &str) -> State {
        let opened = match self.withdrawable(token) {
            Ok(opened) => opened,
            Err(response) => return made(*response),
        };
        let Some(recipient) = &opened.claim().mail.recipient else {
            return made(self.not_found());
        };
        let store = &self.runtime.context.store;
        let words = Words::for_reader(self.headers);
        State::Withdrawal(Box::new(KeptFirst {
            pending: store.withdraw(&self.domain.realm, recipient),
            until: Box::pin(tokio::time::sleep(WITHDRAWAL_WAIT)),
            response: Some(respond::html(StatusCode::OK, page::withdrawn(words))),
        }))
    }

    /// A withdrawal's token that opens and names somebody.
    fn withdrawable(&self, token: &str) -> Result<Opened, Box<Response<Body>>> {
        match open(self.keys, self.domain, Kind::Withdraw, token) {
            Ok(opened) if opened.claim().mail.recipient.is_some() => Ok(opened),
            Err(OpenError::UnknownKey(_)) => {
                self.runtime.context.key_missing.notify_one();
                Err(Box::new(respond::link_of_unknown_key()))
            }
            Ok(_) | Err(_) => Err(Box::new(self.not_found())),
        }
    }

    fn fixed(&self, asked: Asked<'_>) -> Response<Body> {
        let words = || Words::for_reader(self.headers);
        let document = |json: Option<String>| match json {
            Some(json) => respond::app_document(json),
            None => self.not_found(),
        };
        match asked {
            Asked::Front => respond::html(StatusCode::OK, page::front(words())),
            Asked::Robots => respond::robots(),
            Asked::Icon => respond::no_icon(),
            Asked::AppleApps => document(apps::apple(self.domain)),
            Asked::AndroidApps => document(apps::android(self.domain)),
            Asked::Proof(challenge) => self.proof(challenge),
            Asked::OtherMethod(allow) => respond::other_method(allow),
            _ => self.not_found(),
        }
    }

    fn proof(&self, challenge: Option<&str>) -> Response<Body> {
        let Some(challenge) = challenge.and_then(Challenge::parse) else {
            return self.not_found();
        };
        let keyring = self.keys.keyring();
        respond::proof(proof::answer(
            keyring,
            &self.domain.realm,
            self.host,
            challenge,
        ))
    }

    fn not_found(&self) -> Response<Body> {
        let words = Words::for_reader(self.headers);
        let fallback = self.domain.fallback.as_ref();
        respond::html(StatusCode::NOT_FOUND, page::not_found(words, fallback))
    }

    fn unknown_key(&self, route: HitRoute, response: Response<Body>) -> State {
        self.count(route, Outcome::UnknownKey);
        self.runtime.context.key_missing.notify_one();
        made(response)
    }

    /// The response, after its event where one is to be kept.
    fn recorded(&self, route: HitRoute, opened: &Opened, response: Response<Body>) -> State {
        let context = &self.runtime.context;
        let now = (context.clock)();
        if *self.method != Method::GET || !self.may_record(opened, now) {
            self.count(route, Outcome::NotRecorded);
            return made(response);
        }
        let trusted = &self.runtime.settings.trusted_proxies;
        let hit = Hit {
            host: self.host,
            address: client::address(self.peer, self.headers, trusted),
            user_agent: self.headers.get(USER_AGENT).and_then(|v| v.to_str().ok()),
        };
        let random = self.runtime.random();
        let event = hit::event(hit, opened.claim(), self.domain, (now, random));
        State::Event(
            Box::new(KeptFirst {
                pending: context.store.append_event(&event),
                until: Box::pin(tokio::time::sleep(EVENT_WAIT)),
                response: Some(response),
            }),
            route,
        )
    }

    /// Toggle, state and retention; then whether the reader has withdrawn, or
    /// that cannot be known yet (case 104).
    fn may_record(&self, opened: &Opened, now: jiff::Timestamp) -> bool {
        let claim = opened.claim();
        let store = &self.runtime.context.store;
        hit::is_recorded(self.domain, claim, now)
            && claim.mail.recipient.as_ref().is_none_or(|recipient| {
                store.withdrawn(&self.domain.realm, recipient) == Withdrawn::No
            })
    }

    fn count(&self, route: HitRoute, outcome: Outcome) {
        self.runtime.context.metrics.serve.hit(route, outcome);
    }
}

/// Whether JSON is asked for by name, and no page is: an app, not a browser.
fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let mut kinds = accept.unwrap_or_default().split(',').map(|range| {
        let kind = range.split(';').next().unwrap_or_default();
        kind.trim()
    });
    let is = |kind: &str, wanted| kind.eq_ignore_ascii_case(wanted);
    let json = kinds.clone().any(|kind| is(kind, "application/json"));
    json && !kinds.any(|kind| is(kind, "text/html"))
}

// === Answer ===

impl Future for Answer {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let counts = &this.runtime.context.metrics.serve;
        let response = match &mut this.state {
            State::Made(response) => response.take(),
            State::Event(kept, route) => {
                let outcome = match kept.poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Ok(()))) => Outcome::Recorded,
                    Poll::Ready(Some(Err(NotKept))) => Outcome::NotKept,
                    Poll::Ready(None) => {
                        this.runtime.context.metrics.events_deferred.inc();
                        Outcome::Recorded
                    }
                };
                counts.hit(*route, outcome);
                kept.response.take()
            }
            State::Withdrawal(kept) => match kept.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(()))) => {
                    counts.withdrawals.inc();
                    kept.response.take()
                }
                Poll::Ready(_) => Some(respond::unavailable(
                    "This could not be kept. Please try again in a moment.\n",
                )),
            },
        };
        let mut response =
            response.expect("a service's future is not polled again once it gave its response");
        if this.is_head {
            response = respond::without_body(response);
        }
        if this.protocol == Protocol::Http1 {
            this.runtime.pulses.enter(&this.pulse, Phase::Answered);
        } else {
            // HTTP/2 knows no such field (RFC 9113, 8.2.2).
            response.headers_mut().remove(http::header::CONNECTION);
        }
        Poll::Ready(Ok(response))
    }
}

impl KeptFirst {
    /// What the store says, or nothing once it took too long.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<(), NotKept>>> {
        if let Poll::Ready(kept) = Pin::new(&mut self.pending).poll(cx) {
            return Poll::Ready(Some(kept));
        }
        self.until.as_mut().poll(cx).map(|()| None)
    }
}
