//! `mailtrail-dataplane journal …`: says in lines of JSON what is in a data
//! folder, and changes nothing there.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::log;
use crate::args::{Args, Journal};
use crate::store::inspect::{self, InspectError};

/// Something is damaged.
const DAMAGED: u8 = 1;
/// The folder could not be looked into; also what a wrong command line gives.
const NOT_LOOKED: u8 = 2;

/// Looks into a data folder and says what it finds on standard output.
pub fn look_into(journal: &Journal, args: &Args) -> ExitCode {
    if let Err(error) = log::start(args) {
        log::tell(&error);
        return ExitCode::from(NOT_LOOKED);
    }
    let mut to = BufWriter::new(io::stdout().lock());
    let found = say(journal, &mut to).and_then(|sound| {
        to.flush().map_err(InspectError::NotWritten)?;
        Ok(sound)
    });
    match found {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(DAMAGED),
        // Whoever reads has seen enough.
        Err(InspectError::NotWritten(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            log::tell(&error);
            ExitCode::from(NOT_LOOKED)
        }
    }
}

/// Says what is asked for; whether nothing in it is damaged.
fn say(journal: &Journal, to: &mut dyn Write) -> Result<bool, InspectError> {
    match journal {
        Journal::Check(args) => {
            let checks = inspect::check(&args.data_dir)?;
            let sound = checks.iter().all(inspect::Check::is_sound);
            lines(checks, to).map(|()| sound)
        }
        Journal::List(args) => lines(inspect::segments(&args.data_dir)?, to).map(|()| true),
        Journal::Export(args) => inspect::export(&args.data_dir, to).map(|()| true),
    }
}

fn lines<T: Serialize>(
    found: impl IntoIterator<Item = T>,
    to: &mut dyn Write,
) -> Result<(), InspectError> {
    for line in found {
        serde_json::to_writer(&mut *to, &line)
            .map_err(io::Error::from)
            .and_then(|()| to.write_all(b"\n"))
            .map_err(InspectError::NotWritten)?;
    }
    Ok(())
}
