//! What pages tell people to type, so that tests can do it word for word.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The commands in a page's section, by number from 0 on: a block of a shell's
/// lines.
///
/// # Panics
/// If there is no such page, heading or block.
pub fn commands(page: &str, heading: &str, number: usize) -> String {
    let text = fs::read_to_string(crate::root().join(page)).expect("a page");
    let section = text.split(&format!("\n## {heading}\n")).nth(1);
    let section = section.unwrap_or_else(|| panic!("{page} has no heading {heading}"));
    let section = section.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("```sh\n").skip(1);
    let blocks = blocks.filter_map(|block| Some(block.split_once("```")?.0));
    let block = { blocks }.nth(number);
    let block = block.unwrap_or_else(|| panic!("{page}, {heading}: no block {number}"));
    // In a list, lines are set in as the list is.
    let set_in = block.len() - block.trim_start_matches(' ').len();
    let lines = block
        .lines()
        .map(|line| line.get(set_in..).unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Runs lines of a shell, which must succeed, in a folder; gives what they print.
pub(crate) fn shell(mut command: Command, folder: &Path, programs: &Path, lines: &str) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = command
        .args(["-euo", "pipefail", "-c", lines])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", programs.display()))
        .output()
        .expect("bash starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, said) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{lines}\n{out}\n{said}");
    out
}
