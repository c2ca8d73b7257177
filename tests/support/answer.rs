//! HTTP on loopback, as callers of the programs and readers of mails speak it.

use std::net::SocketAddr;

use serde_json::Value;

use crate::process::PATIENCE;

/// What an HTTP request was answered with.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers, names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
}

/// Loads a tracking URL from `public`, the address of a data plane, with the
/// URL's own host, as a mail client behind a proxy would.
///
/// # Errors
/// If no answer comes.
pub fn follow(public: SocketAddr, url: &str) -> Result<Answer, ureq::Error> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let request = agent().get(format!("http://{public}/{path}"));
    read(
        request
            .header("host", host)
            .header("user-agent", firefox)
            .call()?,
    )
}

/// GET of a path.
pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    answer(agent().get(format!("http://{address}{path}")).call())
}

/// GET of a path with one parameter.
pub(crate) fn get_with(address: SocketAddr, path: &str, name: &str, value: &str) -> Answer {
    let request = agent().get(format!("http://{address}{path}"));
    answer(request.query(name, value).call())
}

/// GET of a path with a bearer token.
pub(crate) fn get_as(address: SocketAddr, path: &str, token: &str) -> Answer {
    let request = agent().get(format!("http://{address}{path}"));
    answer(
        request
            .header("authorization", format!("Bearer {token}"))
            .call(),
    )
}

/// Whether a GET of `/ready` is answered with 200; not where nobody answers.
pub(crate) fn is_ready(address: SocketAddr) -> bool {
    is_ok(address, "/ready")
}

/// Whether a GET of a path is answered with 200; not where nobody answers.
pub(crate) fn is_ok(address: SocketAddr, path: &str) -> bool {
    let answer = agent().get(format!("http://{address}{path}")).call();
    answer.is_ok_and(|answer| answer.status() == 200)
}

/// POST of JSON, with a bearer token where one is given.
pub(crate) fn post(address: SocketAddr, path: &str, body: &Value, token: Option<&str>) -> Answer {
    let mut request = agent().post(format!("http://{address}{path}"));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    answer(request.send_json(body))
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(PATIENCE))
        .build();
    config.into()
}

fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    response.and_then(read).expect("an answer")
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> Result<Answer, ureq::Error> {
    let headers = response.headers().iter();
    let headers = headers
        .map(|(n, v)| {
            (
                n.to_string(),
                String::from_utf8_lossy(v.as_bytes()).into_owned(),
            )
        })
        .collect();
    let body = response
        .body_mut()
        .with_config()
        .limit(64 << 20)
        .read_to_vec()?;
    Ok(Answer {
        status: response.status().as_u16(),
        headers,
        body,
    })
}
