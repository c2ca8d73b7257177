//! A file of bearer tokens: whoever holds one may do everything.
//!
//! One token a line, of 16 to 512 of the characters that RFC 6750 (2.1) allows
//! (letters, digits, `-._~+/`, `=` at the end); `#` begins a comment line.
//! Only hashes are kept in memory, and comparing takes the same time whichever
//! matches. The file is read again when a request comes and a second has gone
//! by, so a token is added or withdrawn without a restart; a file that cannot
//! be used then leaves the last good tokens in force, and the log says so.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use aws_lc_rs::{constant_time, digest};
use mailtrail_core::id::Realm;

use super::{Answer, Authorizer, Caller, Denied, Verb};

/// Shortest token, in bytes: 16 letters and digits are some 95 bits.
pub const TOKEN_MIN_BYTES: usize = 16;
/// Longest token, in bytes.
pub const TOKEN_MAX_BYTES: usize = 512;
/// Most tokens; each costs every request a comparison.
const TOKENS_MAX: usize = 64;
/// Largest file, in bytes: 64 tokens of 512 bytes, twice over for comments.
const FILE_MAX_BYTES: usize = 64 * 1024;
/// How long a file that was read is believed.
const BELIEVED: Duration = Duration::from_secs(1);

/// Callers known by the tokens of a file.
#[derive(Debug)]
pub struct TokensFile {
    path: PathBuf,
    believed: Duration,
    hashes: ArcSwap<Vec<Hash>>,
    read: Mutex<Read>,
}

type Hash = [u8; 32];

#[derive(Debug)]
struct Read {
    at: Instant,
    failed: bool,
}

/// Why a file of tokens cannot be used. Nothing of a token is in it.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// It is too large.
    #[error("has more than {FILE_MAX_BYTES} bytes or {TOKENS_MAX} tokens")]
    TooLarge,
    /// It has no token.
    #[error("holds no token")]
    Empty,
    /// A line is no token.
    #[error(
        "line {line} must be a token of {TOKEN_MIN_BYTES} to {TOKEN_MAX_BYTES} of the characters A-Z a-z 0-9 - . _ ~ + / with = at its end only"
    )]
    Line {
        /// The line, from 1 on.
        line: usize,
    },
}

impl TokensFile {
    /// Reads the file.
    pub fn open(path: PathBuf) -> Result<Self, TokensError> {
        Self::believed_for(path, BELIEVED)
    }

    fn believed_for(path: PathBuf, believed: Duration) -> Result<Self, TokensError> {
        let hashes = parse(&read(&path)?)?;
        Ok(Self {
            path,
            believed,
            hashes: ArcSwap::from_pointee(hashes),
            read: Mutex::new(Read {
                at: Instant::now(),
                failed: false,
            }),
        })
    }

    /// Reads the file again when it was last read a while ago; one caller does,
    /// the others go on with what is known.
    async fn refresh(&self) {
        {
            let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            if read.at.elapsed() < self.believed {
                return;
            }
            read.at = Instant::now();
        }
        let path = self.path.clone();
        let result = tokio::task::spawn_blocking(move || read(&path).and_then(|t| parse(&t))).await;
        let failed = match result {
            Ok(Ok(hashes)) => {
                self.hashes.store(hashes.into());
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("could not be read again".to_owned()),
        };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let was = std::mem::replace(&mut read.failed, failed.is_some());
        match failed {
            Some(error) if !was => tracing::error!(
                file = %self.path.display(),
                error,
                "The file of API tokens cannot be used; the last good tokens stay in force"
            ),
            None if was => tracing::info!("The file of API tokens is in use again"),
            _ => {}
        }
    }
}

impl Authorizer for TokensFile {
    fn authenticate<'a>(&'a self, bearer: Option<&'a str>) -> Answer<'a, Caller> {
        Box::pin(async move {
            let token = bearer.ok_or(Denied::Unauthenticated)?;
            self.refresh().await;
            let presented = hash(token);
            let known = self.hashes.load().iter().fold(false, |found, known| {
                found | constant_time::verify_slices_are_equal(known, &presented).is_ok()
            });
            if known {
                Ok(Caller::everywhere())
            } else {
                Err(Denied::Unauthenticated)
            }
        })
    }

    fn allows<'a>(&'a self, caller: &'a Caller, _: Verb, _: &'a Realm) -> Answer<'a, bool> {
        Box::pin(std::future::ready(Ok(caller.everywhere)))
    }
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, TokensError> {
    use std::io::Read as _;
    let mut text = Vec::new();
    let most = FILE_MAX_BYTES as u64 + 1;
    std::fs::File::open(path)?
        .take(most)
        .read_to_end(&mut text)?;
    Ok(text)
}

fn parse(file: &[u8]) -> Result<Vec<Hash>, TokensError> {
    if file.len() > FILE_MAX_BYTES {
        return Err(TokensError::TooLarge);
    }
    let mut hashes = Vec::new();
    for (at, line) in file.split(|b| *b == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let token = std::str::from_utf8(line).ok().filter(|t| is_token(t));
        hashes.push(hash(token.ok_or(TokensError::Line { line: at + 1 })?));
    }
    match hashes.len() {
        0 => Err(TokensError::Empty),
        1..=TOKENS_MAX => Ok(hashes),
        _ => Err(TokensError::TooLarge),
    }
}

/// RFC 6750, 2.1: `b64token`.
fn is_token(text: &str) -> bool {
    (TOKEN_MIN_BYTES..=TOKEN_MAX_BYTES).contains(&text.len())
        && text
            .trim_end_matches('=')
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
}

fn hash(token: &str) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "first-token-0123456789";
    const SECOND: &str = "second-token-0123456789==";

    fn file_of(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        file
    }

    async fn lets_in(tokens: &TokensFile, token: &str) -> bool {
        tokens.authenticate(Some(token)).await.is_ok()
    }

    #[tokio::test]
    async fn whoever_holds_a_token_of_the_file_is_let_in() {
        let file = file_of(&format!("# ours\n\n{FIRST}\r\n  {SECOND}\n"));
        let tokens = TokensFile::open(file.path().into()).expect("usable");
        assert!(lets_in(&tokens, FIRST).await && lets_in(&tokens, SECOND).await);
        for other in [
            "",
            "# ours",
            "first-token-012345678",
            "First-token-0123456789",
        ] {
            assert!(!lets_in(&tokens, other).await, "{other}");
        }
        assert_eq!(
            tokens.authenticate(None).await,
            Err(Denied::Unauthenticated)
        );
    }

    #[test]
    fn a_line_that_is_no_token_is_named_and_not_shown() {
        for (text, line) in [
            ("short", 1),
            ("# c\nfirst-token-0123456789\nwith a space in it", 3),
            ("equals=sign-in-the-middle", 1),
        ] {
            let error = parse(text.as_bytes()).expect_err("refused");
            assert!(
                matches!(error, TokensError::Line { line: l } if l == line),
                "{error}"
            );
            assert!(!error.to_string().contains("space"));
        }
        assert!(matches!(parse(b"# only\n"), Err(TokensError::Empty)));
        let many = format!("{FIRST}\n").repeat(TOKENS_MAX + 1);
        assert!(matches!(parse(many.as_bytes()), Err(TokensError::TooLarge)));
    }

    #[tokio::test]
    async fn a_changed_file_counts_once_the_last_one_was_believed_long_enough() {
        let file = file_of(FIRST);
        let tokens = TokensFile::believed_for(file.path().into(), Duration::ZERO).expect("usable");
        let hour = Duration::from_secs(3600);
        let patient = TokensFile::believed_for(file.path().into(), hour).expect("usable");
        std::fs::write(file.path(), SECOND).expect("written");
        assert!(!lets_in(&tokens, FIRST).await && lets_in(&tokens, SECOND).await);
        assert!(lets_in(&patient, FIRST).await && !lets_in(&patient, SECOND).await);
        std::fs::write(file.path(), "bad").expect("written");
        assert!(lets_in(&tokens, SECOND).await);
    }
}
