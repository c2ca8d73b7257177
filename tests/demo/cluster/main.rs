//! `make run-cluster`: a real API server, the operator and two replicas of the
//! data plane on this machine, to be used with `kubectl` until it is stopped.
//!
//! There is no node: the replicas are processes, and pod objects stand for them.

#![expect(
    clippy::print_stdout,
    reason = "talking to a person is this program's job"
)]

use std::io::Read as _;

use mailtrail_tests::{ControlPlane, Install};

/// The namespace of the install, as the manifests of its rights have it.
const NAMESPACE: &str = "mailtrail-system";
/// Where the shop is that the README plays.
const EXAMPLE: &str = "examples/cluster.yaml";

fn main() {
    println!("Starting etcd, an API server, the operator and two replicas ...");
    let plane = ControlPlane::own();
    plane.crds();
    let install = Install::exactly(&plane, NAMESPACE);
    let operator = install.operator();
    let replicas = [install.replica(), install.replica()];
    let first = replicas[0].program();
    println!(
        "\nThey run. In another terminal:\n\n  export KUBECONFIG={}\n  export PATH={}:$PATH\n  export API=http://{} PUBLIC={}\n  kubectl apply -f {EXAMPLE}\n  kubectl wait -n shop td/links --for=condition=Programmed\n",
        plane.kubeconfig().display(),
        plane.programs().display(),
        first.api(),
        first.public(),
    );
    println!("README.md, \"In a cluster\", goes on from there. Enter, or Ctrl-C, stops all of it.");
    // Whatever ends the input ends the demo.
    let _ = std::io::stdin().read(&mut [0]);
    drop(replicas);
    drop(operator);
}
