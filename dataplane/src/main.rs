//! The data plane's program: parses the command line, runs, maps the outcome.

use std::process::ExitCode;

use clap::Parser as _;
use mailtrail_dataplane::{args::Args, run};

fn main() -> ExitCode {
    match run::run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            run::tell(&error);
            ExitCode::FAILURE
        }
    }
}
