#!/usr/bin/env bash
# Builds what cluster.sh starts, from pinned Go modules, into the user's cache folder, and prints the folder with the programs.
#   build.sh         etcd, kube-apiserver, kube-controller-manager, kubectl, coredns (about 20 minutes on two cores the first time)
#   build.sh dns     coredns alone
#   build.sh helm    helm alone (four minutes)
#   build.sh node    all of it, and what a node needs: kube-scheduler, kubelet, kube-proxy, pause
# Each program is kept under the hash of what pins it, so that the next clone finds it and a change of one rebuilds that one alone.
# KUBEBUILDER_ASSETS, where set, is printed instead and nothing is built (but with "dns" and "helm"). Needs Go 1.26; with "node" also gcc, and from
# Debian containerd, runc, containernetworking-plugins, buildah, iproute2, iptables, conntrack.
set -euo pipefail
what=${1:-}
if [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ "$what" != dns ] && [ "$what" != helm ]; then echo "$KUBEBUILDER_ASSETS"; exit; fi
cd "$(dirname "$0")"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mailtrail/cluster; mkdir -p "$cache"
command -v go >/dev/null || { echo "tests/cluster needs Go 1.26 or later, or KUBEBUILDER_ASSETS with a folder of etcd, kube-apiserver and kubectl" >&2; exit 1; }
export CGO_ENABLED=0 GOFLAGS=-trimpath
exec 9> "$cache/lock"; flock 9      # two runs at once build once

programs=$cache/programs-$(cat ./*/go.mod ./*/go.sum ./*/*.go pause.c build.sh | sha256sum | cut -c1-16); mkdir -p "$programs"

# module, program, then the command that writes the program to $out
make_one() {
  local module=$1 program=$2 pinned folder out; shift 2
  pinned=$( (cat "$module"/*; echo "$@" $GOFLAGS) | sha256sum | cut -c1-16)
  folder=$cache/$program-$pinned; out=$folder/$program
  if [ ! -x "$out" ]; then
    mkdir -p "$folder"; echo "building $program (once per machine)" >&2
    (cd "$module" && "$@" -o "$out.part" && mv "$out.part" "$out")
  fi
  ln -sfn "$out" "$programs/$program"
}
build_as() { local package=$1 flags=$2; shift 2; go build -ldflags "$flags" "$@" "$package"; }

if [ "$what" = helm ] || [ "$what" = node ]; then
  make_one helm helm build_as tool "-s -w -X helm.sh/helm/v4/internal/version.version=$(cd helm && go list -m -f '{{.Version}}' helm.sh/helm/v4)"
fi
if [ "$what" = helm ]; then echo "$programs"; exit; fi
make_one coredns coredns build_as . '-s -w'
if [ "$what" = dns ]; then echo "$programs"; exit; fi

version=$(cd kubernetes && go list -m -f '{{.Version}}' k8s.io/kubernetes); minor=$(echo "$version" | cut -d. -f2)
component=k8s.io/component-base/version
kubernetes_flags="-s -w -X $component.gitVersion=$version -X $component.gitMajor=1 -X $component.gitMinor=$minor"
kubernetes() { for program in "$@"; do make_one kubernetes "$program" build_as "k8s.io/kubernetes/cmd/$program" "$kubernetes_flags"; done; }

make_one etcd etcd build_as go.etcd.io/etcd/server/v3 '-s -w'
kubernetes kube-apiserver kube-controller-manager kubectl
if [ "$what" = node ]; then
  kubernetes kube-scheduler kubelet kube-proxy
  [ -x "$programs/pause" ] || gcc -static -Os -o "$programs/pause" pause.c
fi
echo "$programs"
