//! `mailtrail-operator`: parses the command line and runs.

use std::process::ExitCode;

use clap::Parser as _;
use mailtrail_operator::args::Args;
use mailtrail_operator::run;
use mimalloc::MiMalloc;

/// Gives memory back after a list of thousands has come in; the system's does not.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match run::run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            run::tell(&error);
            ExitCode::FAILURE
        }
    }
}
