//! The program's `journal` subcommand, run to its end.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What looking into a data folder said.
#[derive(Debug)]
pub struct Looked {
    /// The exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// The lines of standard output.
    pub lines: Vec<Value>,
    /// What stands on standard error.
    pub said: String,
}

/// Runs `mailtrail-dataplane journal <command> --data-dir <dir>`.
///
/// # Panics
/// If it does not start, or says something that is not JSON.
pub fn look_into(command: &str, data_dir: &Path) -> Looked {
    let output = Command::new(crate::built("mailtrail-dataplane"))
        .args(["journal", command, "--data-dir"])
        .arg(data_dir)
        .output()
        .expect("the built program starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line =
        |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    Looked {
        code: output.status.code(),
        lines: said.lines().map(line).collect(),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
