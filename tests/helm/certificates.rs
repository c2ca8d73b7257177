//! Certificates of a data plane that speaks TLS and runs beside the test.

use mailtrail_tests::Authority;

/// A folder with one of them, named `links-tls`.
pub(crate) struct Certificates(tempfile::TempDir);

impl Certificates {
    /// Of an authority that nobody trusts.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let one = folder.path().join("links-tls");
        Authority::new().write(&["links.shop.example"], 30, &one);
        Self(folder)
    }

    /// What a data plane is told to speak TLS with it.
    pub(crate) fn flags(&self) -> [(&str, &str); 2] {
        let folder = self.0.path().to_str().expect("text");
        [("--public-tls", "127.0.0.1:0"), ("--tls-dir", folder)]
    }
}
