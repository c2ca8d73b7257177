//! Starts the real programs for tests, on loopback and in temporary folders,
//! and asks them over HTTP.

mod answer;
mod cluster;
mod disk;
mod dns;
mod look;
mod node;
mod operator;
mod pages;
mod postgres;
mod process;
mod program;
mod prometheus;
mod receiver;
mod tied;
mod tls;

pub use answer::{Answer, follow};
pub use cluster::{
    ControlPlane, FakePod, Install, Mirror, Namespace, PATIENCE, PodSpec, Replica, Reply,
    domain_path, helm_program, sink_path,
};
pub use disk::{SmallDisk, fill};
pub use dns::{Dns, Dug};
pub use look::{Looked, look_into};
pub use node::Node;
pub use operator::{Operator, OperatorFlags};
pub use pages::commands;
pub use postgres::{Database, Postgres, Session};
pub use program::{Flags, Program};
pub use prometheus::{Prometheus, prometheus_program};
pub use receiver::{Received, Receiver, Reply as ReceiverReply};
pub use tls::{Authority, Certificate, Front};

use std::path::{Path, PathBuf};

/// The checkout's root folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

/// A built program of this workspace: beside this test's own executable.
///
/// # Panics
/// If it was not built: `cargo build` comes first in `make test`.
pub fn built(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a test knows its own executable");
    let profile = own
        .parent()
        .filter(|p| p.ends_with("deps"))
        .and_then(Path::parent)
        .or(own.parent());
    let program = profile.map(|p| p.join(name)).unwrap_or_default();
    assert!(
        program.exists(),
        "{name} is not built: run `cargo build` first"
    );
    program
}
