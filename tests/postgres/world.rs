//! Replicas of a data plane on one database, and mails.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mailtrail_tests::{Database, Flags, Postgres, Program, root};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The domain of the example manifests.
pub(crate) const DOMAIN: &str = "demo/links";
/// The secret of all sinks.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A data folder, and how to start a replica with it.
pub(crate) struct Replica {
    pub(crate) folder: TempDir,
    pub(crate) flags: Flags,
    /// Manifests and secrets of its own.
    declared: Option<Arc<TempDir>>,
}

impl Replica {
    /// With a keyring of its own.
    pub(crate) fn first(database: &Database<'_>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let flags = database.behind(Flags::new(root().join("examples/manifests"), folder.path()));
        Self {
            folder,
            flags,
            declared: None,
        }
    }

    /// With manifests of its own, and a keyring.
    pub(crate) fn declared_by(database: &Database<'_>, manifests: &Path, folder: TempDir) -> Self {
        let flags = database.behind(Flags::new(manifests, folder.path()));
        Self {
            folder,
            flags,
            declared: None,
        }
    }

    /// With two servers, of which either may be the one that can be written to.
    pub(crate) fn of_two(database: &Database<'_>, other: &Postgres) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let flags = Flags::new(root().join("examples/manifests"), folder.path());
        Self {
            flags: database.here_or_on(other, flags),
            folder,
            declared: None,
        }
    }

    /// The same as the first, delivering to sinks: a name and a URL each.
    pub(crate) fn delivering(database: &Database<'_>, sinks: &[(&str, String)]) -> Self {
        let declared = tempfile::tempdir().expect("a folder");
        let path = |name: &str| declared.path().join(name);
        for folder in ["manifests", "secrets/demo"] {
            fs::create_dir_all(path(folder)).expect("a folder");
        }
        let domain = root().join("examples/manifests/trackingdomain.yaml");
        fs::copy(domain, path("manifests/domain.yaml")).expect("copied");
        fs::write(path("secrets/demo/key"), SECRET).expect("written");
        for (name, url) in sinks {
            let sink = format!(
                "apiVersion: mailtrail.dev/v1alpha1\nkind: EventSink\nmetadata: {{name: {name}, namespace: demo}}\nspec:\n  url: {url}\n  verdicts: [Human, Proxy, Prefetch, Scanner, Unknown]\n  secretRefs: [{{name: key}}]\n"
            );
            fs::write(path(&format!("manifests/{name}.yaml")), sink).expect("written");
        }
        Self::declaring(database, Arc::new(declared))
    }

    fn declaring(database: &Database<'_>, declared: Arc<TempDir>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| -> PathBuf { declared.path().join(name) };
        let flags = Flags::new(path("manifests"), folder.path())
            .with("--sink-secrets", path("secrets").to_string_lossy())
            .with("--sinks-allow", "127.0.0.0/8");
        Self {
            flags: database.behind(flags),
            folder,
            declared: Some(declared),
        }
    }

    /// With another's keyring, once that was started.
    pub(crate) fn beside(&self, database: &Database<'_>) -> Self {
        let other = match &self.declared {
            Some(declared) => Self::declaring(database, Arc::clone(declared)),
            None => Self::first(database),
        };
        let keyring = self.folder.path().join("keyring.json");
        Self {
            flags: other.flags.with("--keyring", keyring.to_string_lossy()),
            ..other
        }
    }

    pub(crate) fn with(mut self, flag: &str, value: &str) -> Self {
        self.flags = self.flags.with(flag, value);
        self
    }

    /// The file of the secret of all sinks; there is none where nothing is
    /// declared.
    pub(crate) fn secret(&self) -> PathBuf {
        let declared = self.declared.as_ref().expect("sinks are declared");
        declared.path().join("secrets/demo/key")
    }

    pub(crate) fn start(&self) -> Program {
        self.flags.start()
    }
}

/// Rewrites a mail with so many links; gives their URLs, then the pixel's.
pub(crate) fn mail(program: &Program, id: &str, to: Option<&str>, links: usize) -> Vec<String> {
    let anchor = |n| format!("<a href=\"https://shop.example/{n}\">{n}</a>");
    let html: String = (0..links).map(anchor).collect();
    let mail = json!({
        "domain": DOMAIN, "message_id": id, "recipient": to, "tags": {"kind": "news"},
        "html": format!("<p>{html}</p>"),
    });
    let report = program.rewrite(&mail)["report"].clone();
    let text = |url: &Value| url.as_str().expect("a URL").to_owned();
    let tracked = report["links"].as_array().expect("links").iter();
    let mut urls: Vec<_> = tracked.map(|link| text(&link["url"])).collect();
    urls.push(text(&report["pixel"]["url"]));
    urls
}

/// Follows a link, which leads home.
pub(crate) fn click(program: &Program, url: &str) {
    assert_eq!(program.follow(url).status, 302);
}

/// The value of a metric of one line.
pub(crate) fn metric(program: &Program, name: &str) -> f64 {
    let text = program.get(program.admin(), "/metrics").text();
    let lines = text.lines();
    let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = values
        .next()
        .unwrap_or_else(|| panic!("{name} is not told"));
    value.parse().expect("a number")
}

/// Waits until all that a replica has kept is in the database.
pub(crate) fn until_shipped(program: &Program) {
    program.until("all is shipped", |program| {
        metric(program, "mailtrail_postgres_connected") == 1.0
            && metric(program, "mailtrail_postgres_lag_records") == 0.0
    });
}

/// All bytes of the files below a folder.
pub(crate) fn bytes_below(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.extend(bytes_below(&path));
        } else {
            // One may be removed meanwhile.
            all.extend(std::fs::read(&path).unwrap_or_default());
        }
    }
    all
}

/// Whether these bytes are among others.
pub(crate) fn holds(bytes: &[u8], wanted: &str) -> bool {
    bytes
        .windows(wanted.len())
        .any(|window| window == wanted.as_bytes())
}
