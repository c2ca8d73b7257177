//! The walk of one request: open the token → record the hit → respond.
//! Decisions here; bytes in `respond`, the event in `hit`.

use std::net::IpAddr;

use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderMap, Method, Response, StatusCode};
use mailtrail_core::config::Domain;
use mailtrail_core::id::Host;
use mailtrail_core::proof::{self, Challenge};
use mailtrail_core::token::{Keys, Kind, OpenError};

use super::answer::{EventFirst, State, WithdrawalFirst, made};
use super::counts::{HitRoute, Outcome};
use super::open::{Opened, open};
use super::page::{self, Words};
use super::respond::{self, Body, Reply};
use super::route::{Asked, LinkKind};
use super::runtime::Runtime;
use super::settings::UnknownKeys;
use super::{apps, client};
use crate::hit::{self, Hit};
use crate::judge::Seen;
use crate::store::Withdrawn;

/// One request and what it is answered from.
pub(super) struct Walk<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) peer: IpAddr,
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
    pub(super) domain: &'a Domain,
    pub(super) host: &'a Host,
    pub(super) keys: &'a Keys,
}

impl Walk<'_> {
    /// The way of one request; `asked` is what its route says.
    pub(super) fn answer(&self, asked: Asked<'_>) -> State {
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
        match open(self.keys, self.domain, Kind::Open, token) {
            Ok(opened) => self.recorded(route, &opened, Reply::Pixel),
            Err(error) if self.may_open_later(route, &error) => {
                made(respond::pixel_of_unknown_key())
            }
            Err(_) => made(Reply::Pixel),
        }
    }

    fn link(&self, kind: LinkKind, token: &str) -> State {
        let route = HitRoute::Link(kind);
        let opened = match open(self.keys, self.domain, kind.token_kind(), token) {
            Ok(opened) => opened,
            Err(error) if self.may_open_later(route, &error) => {
                return made(respond::link_of_unknown_key());
            }
            Err(_) => return made(self.not_found()),
        };
        match opened.link() {
            Some(link) if wants_json(self.headers) => {
                self.recorded(route, &opened, respond::target_json(link).into())
            }
            Some(link) => self.recorded(route, &opened, Reply::redirect(link)),
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
        State::Withdrawal(Box::new(WithdrawalFirst::new(
            store.withdraw(&self.domain.realm, recipient),
            respond::html(StatusCode::OK, page::withdrawn(words)).into(),
        )))
    }

    /// A withdrawal's token that opens and names somebody.
    fn withdrawable(&self, token: &str) -> Result<Opened, Box<Response<Body>>> {
        match open(self.keys, self.domain, Kind::Withdraw, token) {
            Ok(opened) if opened.claim().mail.recipient.is_some() => Ok(opened),
            Err(error) if self.key_may_come(&error) => {
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

    /// Counts a token that did not open; whether it may once its key has come.
    fn may_open_later(&self, route: HitRoute, error: &OpenError) -> bool {
        let outcome = match error {
            OpenError::UnknownKey(_) => Outcome::UnknownKey,
            _ => Outcome::Refused,
        };
        self.count(route, outcome);
        self.key_may_come(error)
    }

    /// Whether a token's key is not known, and may be out there all the same.
    /// The keyring is read again in any case: somebody may have restored it.
    fn key_may_come(&self, error: &OpenError) -> bool {
        if !matches!(error, OpenError::UnknownKey(_)) {
            return false;
        }
        self.runtime.context.key_missing.notify_one();
        self.runtime.settings.unknown_keys == UnknownKeys::MayCome
    }

    /// The response, after its event where one is to be kept.
    fn recorded(&self, route: HitRoute, opened: &Opened, reply: Reply) -> State {
        let context = &self.runtime.context;
        let now = (context.clock)();
        if let Some(why) = self.why_not(opened, now) {
            self.count(route, why);
            return made(reply);
        }
        let trusted = &self.runtime.settings.trusted_proxies;
        let hit = Hit {
            host: self.host,
            seen: Seen {
                user_agent: self.headers.get(USER_AGENT).and_then(|v| v.to_str().ok()),
                headers: self.headers,
                address: client::address(self.peer, self.headers, trusted),
            },
            rules: &context.rules.load(),
        };
        let random = self.runtime.random();
        let hit = hit::event(hit, opened.claim(), self.domain, (now, random));
        let pending = context.store.append_hit(&hit);
        self.runtime.waits.begin();
        State::Event(EventFirst::new(pending, route, reply))
    }

    /// Why a hit is not to be recorded. Method, toggle, state and retention;
    /// then whether the reader has withdrawn, or that cannot be known (case 104).
    fn why_not(&self, opened: &Opened, now: jiff::Timestamp) -> Option<Outcome> {
        let claim = opened.claim();
        if *self.method != Method::GET || !hit::is_recorded(self.domain, claim, now) {
            return Some(Outcome::NotRecorded);
        }
        let recipient = claim.mail.recipient.as_ref()?;
        let store = &self.runtime.context.store;
        match store.withdrawn(&self.domain.realm, recipient) {
            Withdrawn::No => None,
            Withdrawn::Yes | Withdrawn::NotLoaded => Some(Outcome::NotRecorded),
            Withdrawn::Incomplete => Some(Outcome::WithdrawalsIncomplete),
        }
    }

    fn count(&self, route: HitRoute, outcome: Outcome) {
        self.runtime.context.metrics.serve.hit(route, outcome);
    }
}

/// Whether JSON is asked for by name, and no page is: an app, not a browser.
fn wants_json(headers: &HeaderMap) -> bool {
    let Some(accept) = headers.get(ACCEPT) else {
        return false;
    };
    // Browsers ask for nothing with this letter in it, or for an image.
    if memchr::memchr2(b'j', b'J', accept.as_bytes()).is_none() {
        return false;
    }
    let mut kinds = accept.to_str().unwrap_or_default().split(',').map(|range| {
        let kind = range.split(';').next().unwrap_or_default();
        kind.trim()
    });
    let is = |kind: &str, wanted| kind.eq_ignore_ascii_case(wanted);
    let json = kinds.clone().any(|kind| is(kind, "application/json"));
    json && !kinds.any(|kind| is(kind, "text/html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_99_json_is_for_those_who_ask_for_it_by_name() {
        let check = |accept: &'static str, expected| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, http::HeaderValue::from_static(accept));
            assert_eq!(wants_json(&headers), expected, "{accept}");
        };
        check("application/json", true);
        check("Application/JSON; q=1", true);
        check("application/json, */*", true);
        check("*/*", false);
        check("text/html, application/json", false);
        check("", false);
    }
}
