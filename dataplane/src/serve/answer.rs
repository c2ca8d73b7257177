//! A connection's requests become answers: what holds for every request before
//! its walk begins, and the wait for the store at its end.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Instant;

use http::header::HOST;
use http::{HeaderMap, Method, Request, Response};
use hyper::body::{Body as _, Incoming};
use tokio::time::Sleep;

use super::counts::{HitRoute, Outcome};
use super::pulse::{Phase, Pulse};
use super::refuse::Refusal;
use super::respond::{self, Body, Reply};
use super::route::{Asked, route};
use super::runtime::Runtime;
use super::walk::Walk;
use super::wire::Protocol;
use super::{EVENT_WAIT, WITHDRAWAL_WAIT};
use crate::store::{NotKept, Pending};

/// What a reader is told whose withdrawal could not be kept.
const NOT_WITHDRAWN: &str = "This could not be kept. Please try again in a moment.\n";

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
    /// The map of the request's head, for that of the response.
    map: HeaderMap,
    is_head: bool,
    protocol: Protocol,
    pulse: Rc<Pulse>,
    runtime: Rc<Runtime>,
}

pub(super) enum State {
    Made(Option<Reply>),
    /// An event is being kept; the response goes out in any case.
    Event(EventFirst),
    /// A withdrawal is being kept; the response says so only if it was.
    Withdrawal(Box<WithdrawalFirst>),
}

/// A response that waits for its event, [`EVENT_WAIT`] at most. Nothing of it
/// is allocated, and [`super::waits`] sees to the time of all of them.
pub(super) struct EventFirst {
    pending: Pending,
    until: Instant,
    route: HitRoute,
    reply: Option<Reply>,
}

/// A response that waits for a withdrawal, [`WITHDRAWAL_WAIT`] at most.
pub(super) struct WithdrawalFirst {
    pending: Pending,
    until: Pin<Box<Sleep>>,
    reply: Option<Reply>,
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
        let (snapshot, keys) = self.runtime.context.live.peek();
        let found = route
            .host
            .as_deref()
            .and_then(|host| snapshot.by_host(host).map(|domain| (domain, host)))
            .and_then(|(domain, name)| {
                let host = domain.hosts().find(|host| host.as_str() == name)?;
                Some((Arc::as_ref(domain), host))
            });
        let Some((domain, host)) = found else {
            self.runtime.context.metrics.serve.other.inc();
            return made(respond::nothing());
        };
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
        let state = self.answer(&request);
        let is_head = request.method() == Method::HEAD;
        let (head, _) = request.into_parts();
        let mut map = head.headers;
        // Whoever waits holds nothing of the request: hyper's buffer is free.
        map.clear();
        Answer {
            state,
            map,
            is_head,
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

/// An answer that waits for nothing.
pub(super) fn made(reply: impl Into<Reply>) -> State {
    State::Made(Some(reply.into()))
}

// === Answer ===

impl Future for Answer {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let counts = &this.runtime.context.metrics.serve;
        let reply = match &mut this.state {
            State::Made(reply) => reply.take(),
            State::Event(event) => {
                let outcome = match event.pending.poll_until(cx, event.until) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Ok(()))) => Outcome::Recorded,
                    Poll::Ready(Some(Err(NotKept))) => Outcome::NotKept,
                    Poll::Ready(None) => {
                        this.runtime.context.metrics.events_deferred.inc();
                        Outcome::Recorded
                    }
                };
                counts.hit(event.route, outcome);
                event.reply.take()
            }
            State::Withdrawal(withdrawal) => match withdrawal.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(true) => {
                    counts.withdrawals.inc();
                    withdrawal.reply.take()
                }
                Poll::Ready(false) => Some(respond::unavailable(NOT_WITHDRAWN).into()),
            },
        };
        let reply =
            reply.expect("a service's future is not polled again once it gave its response");
        let mut response = reply.into_response(std::mem::take(&mut this.map));
        if this.is_head {
            response = respond::without_body(response);
        }
        if this.protocol == Protocol::Http1 {
            this.runtime.pulses.enter(&this.pulse, Phase::Answered);
            if this.runtime.pulses.is_finishing() {
                respond::close(&mut response);
            }
        } else {
            // HTTP/2 knows no such field (RFC 9113, 8.2.2).
            response.headers_mut().remove(http::header::CONNECTION);
        }
        Poll::Ready(Ok(response))
    }
}

impl EventFirst {
    pub(super) fn new(pending: Pending, route: HitRoute, reply: Reply) -> Self {
        Self {
            pending,
            until: Instant::now() + EVENT_WAIT,
            route,
            reply: Some(reply),
        }
    }
}

impl WithdrawalFirst {
    pub(super) fn new(pending: Pending, reply: Reply) -> Self {
        Self {
            pending,
            until: Box::pin(tokio::time::sleep(WITHDRAWAL_WAIT)),
            reply: Some(reply),
        }
    }

    /// Whether it is kept; not, once it took too long.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<bool> {
        if let Poll::Ready(kept) = Pin::new(&mut self.pending).poll(cx) {
            return Poll::Ready(kept.is_ok());
        }
        self.until.as_mut().poll(cx).map(|()| false)
    }
}
