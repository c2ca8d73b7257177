#!/usr/bin/env bash
# apt-get, one at a time: tests that run side by side may lack something at the
# same moment.
set -euo pipefail
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mailtrail
mkdir -p "$cache"
DEBIAN_FRONTEND=noninteractive exec flock "$cache/apt.lock" apt-get -o DPkg::Lock::Timeout=300 "$@"
