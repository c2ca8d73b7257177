//! What can go wrong on the way to the API server, in the few kinds that
//! metrics and retries tell apart.

use std::time::Duration;

/// Longest that a request to the API server may take: the client has no read
/// timeout of its own, since watches must not have one.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A request that did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object has changed since it was looked at.
    #[error("{what} has changed meanwhile")]
    Conflict {
        /// What was written.
        what: &'static str,
    },
    /// It exists already.
    #[error("{what} exists already")]
    Exists {
        /// What was to be made.
        what: &'static str,
    },
    /// It is not there.
    #[error("{what} is not there")]
    NotFound {
        /// What was asked for.
        what: &'static str,
    },
    /// The API server does not let us.
    #[error("{what}: {message}")]
    Forbidden {
        /// What was asked for.
        what: &'static str,
        /// What the API server says.
        message: String,
    },
    /// The API server finds it wrong.
    #[error("{what}: {message}")]
    Invalid {
        /// What was written.
        what: &'static str,
        /// What the API server says.
        message: String,
    },
    /// The API server is away, busy or slow.
    #[error("{what}: {source}")]
    Server {
        /// What was asked for.
        what: &'static str,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another operator holds the lease now.
    #[error("the lease is not ours any more")]
    NotLeading,
    /// Something is not known yet that will be.
    #[error("{0} is not known yet")]
    NotYet(&'static str),
}

/// Kinds of errors, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Category {
    /// The object changed meanwhile: looked at again.
    Conflict,
    /// Rights are missing.
    Forbidden,
    /// The API server finds it wrong.
    Invalid,
    /// The API server is away, busy or slow.
    Server,
    /// Not leading, or not known yet.
    Waiting,
}

impl Error {
    /// Sorts an error of the client.
    pub fn of(what: &'static str, error: kube::Error) -> Self {
        let kube::Error::Api(status) = error else {
            let source = Box::new(error);
            return Self::Server { what, source };
        };
        let message = status.message.clone();
        match (status.code, status.reason.as_str()) {
            (409, "AlreadyExists") => Self::Exists { what },
            (409, _) => Self::Conflict { what },
            (404, _) => Self::NotFound { what },
            (401 | 403, _) => Self::Forbidden { what, message },
            (400 | 413 | 415 | 422, _) => Self::Invalid { what, message },
            _ => Self::Server {
                what,
                source: Box::new(kube::Error::Api(status)),
            },
        }
    }

    /// Its kind.
    pub fn category(&self) -> Category {
        match self {
            Self::Conflict { .. } | Self::Exists { .. } | Self::NotFound { .. } => {
                Category::Conflict
            }
            Self::Forbidden { .. } => Category::Forbidden,
            Self::Invalid { .. } => Category::Invalid,
            Self::Server { .. } => Category::Server,
            Self::NotLeading | Self::NotYet(_) => Category::Waiting,
        }
    }
}

impl Category {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::Conflict,
        Self::Forbidden,
        Self::Invalid,
        Self::Server,
        Self::Waiting,
    ];

    /// Its name as a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Forbidden => "forbidden",
            Self::Invalid => "invalid",
            Self::Server => "server",
            Self::Waiting => "waiting",
        }
    }
}

/// Waits for an answer, [`REQUEST_TIMEOUT`] at most.
pub async fn within<T>(
    what: &'static str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(answer) => answer.map_err(|error| Error::of(what, error)),
        Err(elapsed) => Err(Error::Server {
            what,
            source: Box::new(elapsed),
        }),
    }
}
