//! Writes the YAML of all resource definitions into a folder, and the page on
//! their fields.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(folder), Some(page)) = (args.next(), args.next()) else {
        return refuse("what is written is missing: crdgen <folder> <page>");
    };
    let definitions = mailtrail_crds::definitions();
    for definition in &definitions {
        let yaml = match mailtrail_crds::definition_yaml(definition) {
            Ok(yaml) => yaml,
            Err(error) => return refuse(&error.to_string()),
        };
        let file = folder.join(mailtrail_crds::definition_file(definition));
        if let Err(error) = std::fs::write(&file, yaml) {
            return refuse(&format!("{}: {error}", file.display()));
        }
    }
    if let Err(error) = std::fs::write(&page, mailtrail_crds::page::fields(&definitions)) {
        return refuse(&format!("{}: {error}", page.display()));
    }
    ExitCode::SUCCESS
}

fn refuse(why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "crdgen: {why}");
    ExitCode::FAILURE
}
