//! A connection's requests become answers: what holds for every request before
//! its walk begins, and the wait for the store at its end.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

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
    Event(Box<KeptFirst>, HitRoute),
    /// A withdrawal is being kept; the response says so only if it was.
    Withdrawal(Box<KeptFirst>),
}

/// A response that waits for something to be kept.
pub(super) struct KeptFirst<P = Pending> {
    pending: P,
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
        let snapshot = self.runtime.context.live.snapshot();
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
                kept.reply.take()
            }
            State::Withdrawal(kept) => match kept.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(()))) => {
                    counts.withdrawals.inc();
                    kept.reply.take()
                }
                Poll::Ready(_) => Some(respond::unavailable(NOT_WITHDRAWN).into()),
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

impl<P: Future<Output = Result<(), NotKept>> + Unpin> KeptFirst<P> {
    /// Waits for the store, and no longer than so.
    pub(super) fn new(pending: P, longest: Duration, reply: Reply) -> Self {
        Self {
            pending,
            until: Box::pin(tokio::time::sleep(longest)),
            reply: Some(reply),
        }
    }

    /// What the store says, or nothing once it took too long.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<(), NotKept>>> {
        if let Poll::Ready(kept) = Pin::new(&mut self.pending).poll(cx) {
            return Poll::Ready(Some(kept));
        }
        self.until.as_mut().poll(cx).map(|()| None)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::serve::EVENT_WAIT;

    fn waited_for(
        pending: impl Future<Output = Result<(), NotKept>> + Unpin,
    ) -> (Option<Result<(), NotKept>>, Duration) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let begin = Instant::now();
        let kept = runtime.block_on(async {
            let mut kept = KeptFirst::new(pending, EVENT_WAIT, Reply::Pixel);
            std::future::poll_fn(|cx| kept.poll(cx)).await
        });
        (kept, begin.elapsed())
    }

    #[test]
    fn case_84_a_store_that_hangs_is_waited_for_no_longer_than_stated() {
        let (kept, waited) = waited_for(std::future::pending());
        assert_eq!(kept, None);
        assert!(waited >= EVENT_WAIT, "{waited:?}");
        assert!(waited < 10 * EVENT_WAIT, "{waited:?}");
    }

    #[test]
    fn case_84_what_the_store_says_is_not_waited_for_at_all() {
        for said in [Ok(()), Err(NotKept)] {
            let (kept, waited) = waited_for(std::future::ready(said));
            assert_eq!(kept, Some(said));
            assert!(waited < EVENT_WAIT, "{waited:?}");
        }
    }
}
