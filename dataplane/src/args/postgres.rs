//! The flags of the database.

use std::path::PathBuf;

use super::size_of;

/// Most bytes of the spool, where nobody says otherwise.
const SPOOL_DEFAULT_BYTES: u64 = 8 << 30;
/// Least bound on the spool, in bytes: each journal's segments must be some
/// batches.
const SPOOL_LEAST_BYTES: u64 = 1 << 20;

/// The flags as typed.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct PostgresArgs {
    /// PostgreSQL (15 or later) that all replicas share, as postgres://user@host:5432/name; events and
    /// message records are shipped there and answered from there. Its certificate is verified, unless
    /// the host is a loopback address or the URL says sslmode=disable.
    #[arg(
        long,
        env = "MAILTRAIL_POSTGRES",
        value_name = "URL",
        hide_env_values = true
    )]
    postgres: Option<String>,

    /// File with the database user's password, read anew for each connection.
    #[arg(long, env = "MAILTRAIL_POSTGRES_PASSWORD", value_name = "FILE")]
    postgres_password: Option<PathBuf>,

    /// File with the certificates (PEM) that vouch for the database's; without this flag those that
    /// the system trusts.
    #[arg(long, env = "MAILTRAIL_POSTGRES_CA", value_name = "FILE")]
    postgres_ca: Option<PathBuf>,

    /// Most bytes of the data folder that wait for the database, such as `20GiB`; above it what comes is
    /// dropped and counted. Without this flag 8GiB.
    #[arg(long, env = "MAILTRAIL_SPOOL_MAX", value_name = "SIZE", value_parser = spool_size)]
    spool_max: Option<u64>,

    /// How many replicas of this program there are; more than one need --postgres.
    #[arg(long, env = "MAILTRAIL_REPLICAS", value_name = "COUNT")]
    replicas: Option<u16>,

    /// Which of several replicas this is, counted from 0 as a StatefulSet does; another than the first
    /// needs --postgres.
    #[arg(long, env = "MAILTRAIL_ORDINAL", value_name = "NUMBER")]
    ordinal: Option<u32>,
}

/// The database as it is named.
#[derive(Clone)]
pub struct Postgres {
    /// Its URL; may hold a password.
    pub url: String,
    /// The file with its password.
    pub password_file: Option<PathBuf>,
    /// The file with the certificates that vouch for it.
    pub ca_file: Option<PathBuf>,
    /// Most bytes that wait for it.
    pub spool_max_bytes: u64,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Postgres")
    }
}

impl PostgresArgs {
    /// What they mean together; `journal_max` says whether that flag is given.
    pub(super) fn settings(self, journal_max: bool, faults: &mut Vec<String>) -> Option<Postgres> {
        // Destructured, so that a new flag is not forgotten.
        let Self {
            postgres,
            postgres_password,
            postgres_ca,
            spool_max,
            replicas,
            ordinal,
        } = self;
        // A variable that is set to nothing is as good as none.
        let url = postgres.filter(|url| !url.is_empty());
        if url.is_none() {
            for (flag, given) in [
                ("--postgres-password", postgres_password.is_some()),
                ("--postgres-ca", postgres_ca.is_some()),
                ("--spool-max", spool_max.is_some()),
            ] {
                if given {
                    faults.push(format!("{flag} is for --postgres URL alone"));
                }
            }
            if let Some(count) = replicas.filter(|count| *count > 1) {
                faults.push(format!(
                    "--replicas {count}: without --postgres URL each replica would keep, and answer from, \
                     events of its own; give a database, or run one replica"
                ));
            }
            if let Some(ordinal) = ordinal.filter(|ordinal| *ordinal > 0) {
                faults.push(format!(
                    "--ordinal {ordinal}: there is a replica before this one, and without --postgres URL each would \
                     keep, and answer from, events of its own; give a database, or run one replica"
                ));
            }
        } else if journal_max {
            faults.push(
                "--journal-max is for a store of one's own: with --postgres it is --spool-max SIZE"
                    .to_owned(),
            );
        }
        url.map(|url| Postgres {
            url,
            password_file: postgres_password,
            ca_file: postgres_ca,
            spool_max_bytes: spool_max.unwrap_or(SPOOL_DEFAULT_BYTES),
        })
    }
}

fn spool_size(text: &str) -> Result<u64, String> {
    match size_of(text)? {
        bytes if bytes >= SPOOL_LEAST_BYTES => Ok(bytes),
        _ => Err("must be 1MiB at least".to_owned()),
    }
}
