//! The data plane's program: parses the command line, runs, maps the outcome.

use std::process::ExitCode;

use clap::Parser as _;
use mailtrail_dataplane::{args::Args, run};

/// A click allocates some thirty times, which took a seventh of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(journal) = args.journal() {
        return run::look_into(journal, &args);
    }
    match run::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            run::tell(&error);
            ExitCode::FAILURE
        }
    }
}
