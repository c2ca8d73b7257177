//! What can go wrong with a database, by what is done about it. Nothing that a
//! row holds is said: a server's details may quote it.

use std::error::Error as _;

use rustls::CertificateError;
use tokio_postgres::error::{DbError, SqlState};

/// The database refused something, or cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Nobody answers there.
    #[error("PostgreSQL does not answer: {0}")]
    Away(String),
    /// It took too long.
    #[error("PostgreSQL did not answer in time")]
    Slow,
    /// It does not let us in, or not do that: somebody has to do something.
    #[error("PostgreSQL refuses: {0}")]
    Refused(String),
    /// Its certificate is none that we believe: the one side or the other has to be
    /// told something.
    #[error("PostgreSQL's certificate is not accepted: {0}")]
    Certificate(String),
    /// We cannot say, or not understand, what was to be said: a password that is
    /// missing, a type that is not the column's.
    #[error("PostgreSQL cannot be spoken to: {0}")]
    Unspoken(String),
    /// It refuses for the moment: a full disk, a standby, a lock.
    #[error("PostgreSQL cannot write now: {0}")]
    Busy(String),
    /// It does not take what was sent.
    #[error("PostgreSQL does not take a row (SQLSTATE {0})")]
    Row(String),
    /// A row is there already.
    #[error("PostgreSQL has a row already")]
    Twice,
    /// Its schema is of a later version of this program.
    #[error(
        "the database's schema has version {found}, and this program knows {known} at most: a later one has used it; run that, or a later one still"
    )]
    Newer {
        /// The schema's version.
        found: i32,
        /// The last version that is known.
        known: i32,
    },
    /// The server is too old.
    #[error("PostgreSQL {0} is too old: 15 is the first that will do")]
    TooOld(i32),
    /// The database's text is not Unicode.
    #[error("the database's encoding is {0}: it must be UTF8 (createdb --encoding UTF8)")]
    Encoding(String),
    /// Withdrawals of this folder were made under another key than the
    /// database's.
    #[error(
        "this data folder holds withdrawals under a key of its own, and the database has another: start one with the folder's withdrawals first, or with another --data-dir"
    )]
    OtherKey,
    /// Links of this replica are dead at another, and the other way round.
    #[error(
        "another replica has a keyring that shares no key with this one's: links of one do not open at the other. Start this one with --keyring of the others"
    )]
    OtherKeyring,
    /// Another process ships under the same name.
    #[error("another process ships from a copy of this data folder")]
    Moved,
    /// The local disk refuses something.
    #[error("the spool cannot be read or written: {0}")]
    Disk(#[from] std::io::Error),
    /// What was read there is not what we write.
    #[error("the database holds something that this program did not write there")]
    Unreadable,
    /// A file of the flags cannot be used any more.
    #[error("{0}")]
    Address(#[from] super::AddressError),
}

impl Fault {
    /// One word for metrics.
    pub(super) fn kind(&self) -> FaultKind {
        match self {
            Self::Away(_) | Self::Slow => FaultKind::Away,
            Self::Busy(_) => FaultKind::Busy,
            Self::Row(_) | Self::Twice | Self::Unreadable => FaultKind::Row,
            Self::Disk(_) => FaultKind::Disk,
            Self::Refused(_)
            | Self::Certificate(_)
            | Self::Unspoken(_)
            | Self::Newer { .. }
            | Self::TooOld(_)
            | Self::Encoding(_)
            | Self::OtherKey
            | Self::OtherKeyring
            | Self::Moved
            | Self::Address(_) => FaultKind::Refused,
        }
    }

    /// Whether it will not go away by itself.
    pub(super) fn is_for_good(&self) -> bool {
        matches!(
            self,
            Self::Newer { .. }
                | Self::TooOld(_)
                | Self::Encoding(_)
                | Self::OtherKey
                | Self::OtherKeyring
        )
    }
}

/// What kind of fault, from a fixed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultKind {
    Away,
    Busy,
    Refused,
    Row,
    Disk,
}

impl FaultKind {
    /// Each by its name.
    pub(super) const NAMES: [(&str, Self); 5] = [
        ("away", Self::Away),
        ("busy", Self::Busy),
        ("refused", Self::Refused),
        ("row", Self::Row),
        ("disk", Self::Disk),
    ];
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(said) => of_server(said),
            None => match of_tls(&error) {
                Some(rustls::Error::InvalidCertificate(why)) => of_certificate(why),
                Some(_) => Self::Refused(below(&error)),
                // What lies below says more, and knows nothing of rows.
                None if is_of_connection(&error) => Self::Away(below(&error)),
                None => Self::Unspoken(below(&error)),
            },
        }
    }
}

/// What is wrong with a certificate; where nobody vouches for it, what is to be
/// done here and not there.
fn of_certificate(why: &CertificateError) -> Fault {
    let is_unknown = *why == CertificateError::UnknownIssuer;
    let remedy = match is_unknown {
        true => {
            ": nobody whom this program trusts has issued it; name who has with --postgres-ca (in the chart postgres.caConfigMap)"
        }
        false => "",
    };
    Fault::Certificate(format!("{why}{remedy}"))
}

/// An error and what lies below it.
fn below(error: &tokio_postgres::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Whether nobody is there, or the connection ended.
fn is_of_connection(error: &tokio_postgres::Error) -> bool {
    let source = error.source();
    error.is_closed() || source.is_some_and(|source| source.is::<std::io::Error>())
}

/// What it is where it is about a certificate, or how it is spoken: waiting does not help.
fn of_tls(error: &tokio_postgres::Error) -> Option<&rustls::Error> {
    let io = error
        .source()
        .and_then(|source| source.downcast_ref::<std::io::Error>());
    let inner = io.and_then(|io| io.get_ref());
    inner?.downcast_ref()
}

impl From<tokio::time::error::Elapsed> for Fault {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self::Slow
    }
}

/// By the class of the state (the first two letters), as the manual has them.
fn of_server(said: &DbError) -> Fault {
    let code = said.code();
    if *code == SqlState::UNIQUE_VIOLATION {
        return Fault::Twice;
    }
    let told = || format!("{} (SQLSTATE {})", said.message(), code.code());
    match code.code().get(..2).unwrap_or_default() {
        // Data, and constraints: a message may quote what was sent.
        "22" | "23" => Fault::Row(code.code().to_owned()),
        // Connections, and a server that starts or stops.
        "08" | "57" => Fault::Away(told()),
        // A standby, a deadlock, no room, a lock that was not to be had.
        "25" | "40" | "53" | "55" | "58" => Fault::Busy(told()),
        _ => Fault::Refused(told()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_nobody_vouches_for_is_a_matter_of_the_setting() {
        let told = |why| of_certificate(&why).to_string();
        let said = told(CertificateError::UnknownIssuer);
        assert!(said.contains("UnknownIssuer") && said.contains("--postgres-ca"));
        assert!(said.contains("postgres.caConfigMap") && !said.contains("refuses"));
        let said = told(CertificateError::Expired);
        assert!(said.contains("Expired") && !said.contains("--postgres-ca"));
    }
}
