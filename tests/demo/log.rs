//! The data plane's log, for a person: what warns or went wrong, and what was
//! read again, without the times and the names of modules.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// Most bytes read at a time: a log that grows faster is told a bit later.
const READ_MAX_BYTES: u64 = 64 * 1024;
/// Begins the time of each line.
const TIME_LENGTH: usize = "2026-11-26T15:04:42.827934Z".len();

/// In the line that says that manifests or rules were read again.
const RELOADED: &str = " reloaded";

/// A log file, read as it grows.
pub(crate) struct Log {
    path: PathBuf,
    /// Up to where it was read.
    at: u64,
    /// The end of what was read, without its line break yet.
    unfinished: Vec<u8>,
    /// The last line was told: what follows without a time belongs to it.
    told: bool,
}

impl Log {
    /// Reads what is written from now on.
    pub(crate) fn from_its_end(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            at: path.metadata().map_or(0, |file| file.len()),
            unfinished: Vec::new(),
            told: false,
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What there is to tell since the last call, a line each.
    pub(crate) fn news(&mut self) -> io::Result<Vec<String>> {
        let bytes = self.more()?;
        Ok(self.take(&bytes))
    }

    /// All that was written since the last call.
    pub(crate) fn rest(&mut self) -> io::Result<String> {
        let mut bytes = std::mem::take(&mut self.unfinished);
        bytes.extend(self.more()?);
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    fn more(&mut self) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.at))?;
        let mut bytes = Vec::new();
        self.at += file.take(READ_MAX_BYTES).read_to_end(&mut bytes)? as u64;
        Ok(bytes)
    }

    fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        self.unfinished.extend(bytes);
        let Some(end) = self.unfinished.iter().rposition(|b| *b == b'\n') else {
            return Vec::new();
        };
        let whole: Vec<_> = self.unfinished.drain(..=end).collect();
        let text = String::from_utf8_lossy(&whole);
        text.lines().filter_map(|line| self.line(line)).collect()
    }

    /// A line in plain words, where a person should know of it.
    fn line(&mut self, line: &str) -> Option<String> {
        let Some((level, said)) = parts(line) else {
            return self.told.then(|| format!("    {line}"));
        };
        let word = match level {
            "WARN" => "warning",
            "ERROR" => "error",
            // The end of an error about a file is that it was read again.
            "INFO" if said.contains(RELOADED) => "changed",
            _ => "",
        };
        self.told = !word.is_empty();
        self.told.then(|| format!("  {word}: {said}"))
    }
}

/// Level and message of a line; nothing where it goes on with the one before.
fn parts(line: &str) -> Option<(&str, &str)> {
    let (time, rest) = line.split_at_checked(TIME_LENGTH)?;
    if !time.ends_with('Z') || !time.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (level, rest) = rest.trim_start().split_once(' ')?;
    let (_module, said) = rest.split_once(": ")?;
    Some((level, said))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const INFO: &str =
        "2026-11-26T15:04:42.827934Z  INFO mailtrail_dataplane::store: journal open segments=4\n";
    const ERROR: &str = "2026-11-26T15:04:42.827934Z ERROR mailtrail_dataplane::config::watch: manifest refused: a.yaml:3\n";
    const WARN: &str =
        "2026-11-26T15:04:42.827934Z  WARN mailtrail_dataplane::run::log: --settle is short\n";

    fn log() -> Log {
        Log::from_its_end(Path::new("/none"))
    }

    #[test]
    fn what_warns_or_went_wrong_is_told_and_little_else() {
        let told = log().take(format!("{INFO}{ERROR}{INFO}{WARN}").as_bytes());
        assert_eq!(
            told,
            [
                "  error: manifest refused: a.yaml:3",
                "  warning: --settle is short"
            ]
        );
    }

    #[test]
    fn a_file_that_was_read_again_is_told() {
        let line = INFO.replace("journal open segments=4", "manifests reloaded domains=1");
        let told = log().take(line.as_bytes());
        assert_eq!(told, ["  changed: manifests reloaded domains=1"]);
    }

    #[test]
    fn further_lines_belong_to_the_one_before() {
        let told = log().take(format!("{ERROR}line 4: x\n{INFO}line 5: y\n").as_bytes());
        assert_eq!(
            told,
            ["  error: manifest refused: a.yaml:3", "    line 4: x"]
        );
    }

    #[test]
    fn a_line_is_told_once_it_is_whole() {
        let mut log = log();
        let (begin, end) = ERROR.split_at(60);
        assert!(log.take(begin.as_bytes()).is_empty());
        assert_eq!(log.take(end.as_bytes()).len(), 1);
        assert!(log.take(b"").is_empty());
    }

    #[test]
    fn what_earlier_runs_wrote_is_not_told() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(ERROR.as_bytes()).expect("written");
        let mut log = Log::from_its_end(file.path());
        assert!(log.news().expect("read").is_empty());
        file.write_all(WARN.as_bytes()).expect("written");
        assert_eq!(log.news().expect("read").len(), 1);
        file.write_all(INFO.as_bytes()).expect("written");
        assert_eq!(log.rest().expect("read"), INFO.trim_end());
    }
}
