#!/usr/bin/env bash
# What a node needs of the system, from Debian: installed where something is missing, this is root, and apt-get is there. Where it cannot be installed
# the exit code is 3.
set -euo pipefail
missing() {
  local program
  for program in containerd ctr runc buildah busybox ip iptables conntrack curl; do command -v "$program" > /dev/null || { echo "$program"; return; }; done
  [ -x /usr/lib/cni/ptp ] || echo "/usr/lib/cni/ptp"
}
lacks=$(missing)
[ -n "$lacks" ] || exit 0
packages=(containerd runc containernetworking-plugins buildah busybox-static iproute2 iptables conntrack curl)
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  apt=$(dirname "$0")/../tools/apt.sh
  echo "installing ${packages[*]} from Debian, once for this machine ..." >&2
  "$apt" update --quiet --quiet >&2
  "$apt" install --yes --quiet --quiet --no-install-recommends "${packages[@]}" > /dev/null
  lacks=$(missing)
  [ -n "$lacks" ] || exit 0
  echo "a node needs $lacks, which is not in ${packages[*]}" >&2
  exit 1
fi
echo "a node needs $lacks (Debian: ${packages[*]})" >&2
exit 3
