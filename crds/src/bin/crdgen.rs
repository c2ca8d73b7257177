//! Writes the YAML of all resource definitions into a folder.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return refuse("the folder to write to is missing: crdgen <folder>");
    };
    for definition in mailtrail_crds::definitions() {
        let yaml = match mailtrail_crds::definition_yaml(&definition) {
            Ok(yaml) => yaml,
            Err(error) => return refuse(&error.to_string()),
        };
        let file = folder.join(mailtrail_crds::definition_file(&definition));
        if let Err(error) = std::fs::write(&file, yaml) {
            return refuse(&format!("{}: {error}", file.display()));
        }
    }
    ExitCode::SUCCESS
}

fn refuse(why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "crdgen: {why}");
    ExitCode::FAILURE
}
