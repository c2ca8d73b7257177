#!/usr/bin/env bash
# `make demo-cluster`: a cluster with a node on this machine, Mailtrail installed by its chart, left running for a person to try. Called again it says the
# same once more; `tests/cluster/cluster.sh down STATE_DIR` ends it. STATE_DIR: /tmp/mailtrail-demo.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "a node needs root; without it: make run-cluster" >&2; exit 1; }
state=/tmp/mailtrail-demo cluster=tests/cluster/cluster.sh
within() { "$cluster" in "$state" "$@"; }
if ! within kubectl get nodes > /dev/null 2>&1; then
  tests/cluster/packages.sh
  programs=$(tests/cluster/build.sh node)
  images=$(tests/images/build.sh)
  echo "Starting a node ..."
  "$cluster" down "$state" 2> /dev/null || :
  rm -rf "$state"
  NODE=1 NETNS=mailtrail-demo "$cluster" up "$state" "$programs" > /dev/null
  "$cluster" image "$state" "$images"/{operator,dataplane,client}.tar > /dev/null
  "$cluster" volume "$state" mailtrail-system data-mailtrail-dataplane-0 > /dev/null
  echo "Installing Mailtrail ..."
  within helm install mailtrail charts/mailtrail --namespace mailtrail-system --create-namespace --wait > /dev/null
fi
within kubectl get pods -n mailtrail-system
cat <<END

It runs. A shell in the node's network, with kubectl and helm:

  $cluster in $state bash

There:

  kubectl apply -f examples/cluster.yaml
  kubectl wait -n shop td/links --for=condition=Programmed
  kubectl apply -f examples/job.yaml && kubectl wait -n shop job/first-mail --for=condition=Complete --timeout=2m && kubectl logs -n shop job/first-mail

To end all of it:

  $cluster down $state && rm -rf $state
END
