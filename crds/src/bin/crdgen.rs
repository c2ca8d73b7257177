//! Prints the YAML of the resource definitions.

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let yaml = match mailtrail_crds::tracking_domain_yaml() {
        Ok(yaml) => yaml,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "crdgen: {error}");
            return ExitCode::FAILURE;
        }
    };
    match std::io::stdout().write_all(yaml.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
