//! `mailtrail-operator`: parses the command line and runs.

use std::process::ExitCode;

use clap::Parser as _;
use mailtrail_operator::args::Args;
use mailtrail_operator::run;

fn main() -> ExitCode {
    match run::run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            run::tell(&error);
            ExitCode::FAILURE
        }
    }
}
