//! `make bench-scale`: how an install with many domains fares on a real API
//! server. Prints a table; fails only where a reader or a caller is refused.
//!
//! `MAILTRAIL_SCALE_DOMAINS` (10,000), `MAILTRAIL_SCALE_FLIPS` (200) and
//! `MAILTRAIL_SCALE_IDLE_SECONDS` (600) say how much of it.

mod flip;
mod load;
mod made;
mod read;

use std::time::Duration;

use mailtrail_tests::{ControlPlane, Install, Namespace, Operator, Replica};
use tempfile::TempDir;

/// Replicas of the data plane.
const REPLICAS: usize = 3;
/// Namespaces that the domains are spread over.
const NAMESPACES: usize = 20;
/// Changes a second while flips are measured.
const CHANGES_PER_SECOND: u32 = 50;
/// The token that the data plane's API is called with.
const TOKEN: &str = "scale-bench-token-0123456789";

/// What is measured on.
struct Scale<'a> {
    plane: &'a ControlPlane,
    install: Install<'a>,
    namespaces: Vec<Namespace<'a>>,
    domains: usize,
}

fn main() {
    let domains = number("MAILTRAIL_SCALE_DOMAINS", 10_000);
    let flips = number("MAILTRAIL_SCALE_FLIPS", 200);
    let idle = Duration::from_secs(number("MAILTRAIL_SCALE_IDLE_SECONDS", 600) as u64);
    let plane = ControlPlane::own();
    plane.crds();
    let names = (0..NAMESPACES).map(|at| Namespace::new(&plane, &format!("scale-{at}")));
    let scale = Scale {
        plane: &plane,
        namespaces: names.collect(),
        install: Install::new(&plane, "scale"),
        domains,
    };
    let tokens = TempDir::new().expect("a folder");
    let tokens = tokens.path().join("tokens");
    std::fs::write(&tokens, TOKEN).expect("written");
    let flags = [("--api-tokens", tokens.to_str().expect("text"))];
    let operator = scale.operator(&[]);
    let replicas: Vec<_> = (0..REPLICAS).map(|_| scale.replica(&flags)).collect();
    say("domains", &domains.to_string());

    scale.make(&operator);
    memory("after that", &operator, &replicas);
    say(
        "flip, idle",
        &scale.flips(&operator, &replicas, (flips, flip::LOOK)),
    );
    let changing = flip::Changing::start(&scale, CHANGES_PER_SECOND);
    let under = scale.flips(&operator, &replicas, (flips, flip::LOOK_UNDER_CHANGES));
    say(
        "changes a second meanwhile",
        &format!("{:.1}", changing.stop()),
    );
    say("flip, under changes", &under);
    memory("after that", &operator, &replicas);
    scale.idle(&operator, idle);
    let operator = scale.storm(operator, &replicas);
    memory("at the end", &operator, &replicas);
}

impl<'a> Scale<'a> {
    fn operator(&self, more: &[(&str, &str)]) -> Operator {
        let mut flags = self.install.operator_flags().with("--shards", "256");
        for (flag, value) in more {
            flags = flags.with(flag, *value);
        }
        flags.start()
    }

    fn replica(&self, flags: &[(&str, &str)]) -> Replica<'a> {
        let replica = self.install.replica_unready(Duration::ZERO, flags);
        replica
            .program()
            .until("ready", mailtrail_tests::Program::is_ready);
        replica.pod().set_ready(true);
        replica
    }

    /// Namespace, name and host of a domain.
    fn name(&self, at: usize) -> (&str, String, String) {
        let namespace = self.namespaces[at % NAMESPACES].name();
        (
            namespace,
            format!("d{at}"),
            format!("d{at}.{namespace}.example"),
        )
    }
}

/// Prints a row of the table.
fn say(what: &str, value: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{what:<44} {value}");
}

fn memory(when: &str, operator: &Operator, replicas: &[Replica<'_>]) {
    let mib = |pid| format!("{:.1}", read::resident_kib(pid) as f64 / 1024.0);
    let planes: Vec<_> = replicas.iter().map(|r| mib(r.program().pid())).collect();
    let text = format!(
        "operator {}, data planes {}",
        mib(operator.pid()),
        planes.join(", ")
    );
    say(&format!("resident {when}, MiB"), &text);
}

fn number(variable: &str, otherwise: usize) -> usize {
    let given = std::env::var(variable).ok();
    given.map_or(otherwise, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} must be a number"))
    })
}
