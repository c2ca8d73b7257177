#!/usr/bin/env bash
# Makes the images that a node of tests runs, as docker-archive files in target/images, without a daemon and without a registry: both programs, by the
# last stages of the project's own Dockerfile, and a client with sh and curl, under the name of a published one. Prints the folder.
# The programs are those of `cargo build --workspace`, linked once more and statically: what is compiled is used as it is. Needs root, and from Debian
# buildah, busybox-static and curl. IMAGE_VERSION names the tag (0.1.0).
set -euo pipefail
cd "$(dirname "$0")/../.."
version=${IMAGE_VERSION:-0.1.0}
target=${CARGO_TARGET_DIR:-target}; out=$target/images
mkdir -p "$out"
exec 9> "$out/lock"; flock 9

# --- static programs ---
stage=$out/build; rm -rf "$stage"; mkdir -p "$stage/out"
artifacts=$(cargo build --workspace --message-format=json 2> "$out/cargo.log") || { cat "$out/cargo.log" >&2; exit 1; }
# The library of a crate, as cargo says where it is.
rlib() { grep "\"reason\":\"compiler-artifact\".*\"name\":\"$1\"" <<< "$artifacts" | grep -oE '"[^"]*\.rlib"' | tail -n 1 | tr -d '"'; }
for program in operator dataplane; do
  rustc --edition 2024 --crate-name "mailtrail_$program" --crate-type bin "$program/src/main.rs" \
    -C target-feature=+crt-static -C strip=symbols -L "dependency=$target/debug/deps" \
    --extern "mailtrail_$program=$(rlib "mailtrail_$program")" --extern "clap=$(rlib clap)" --extern "mimalloc=$(rlib mimalloc)" \
    -o "$stage/out/mailtrail-$program"
  # Not one library of the system: there is none in the image.
  if readelf --dynamic "$stage/out/mailtrail-$program" | grep NEEDED >&2; then echo "mailtrail-$program is not static" >&2; exit 1; fi
done
cp /etc/ssl/certs/ca-certificates.crt "$stage/out/"

# --- images ---
storage=$(mktemp -d); trap 'rm -rf "$storage"' EXIT
buildah() { command buildah --storage-driver vfs --root "$storage/root" --runroot "$storage/run" "$@"; }
image() { # archive, name, what buildah needs to know
  local archive=$1 name=$2; shift 2
  buildah bud --quiet --isolation chroot --tag "$name" "$@" > /dev/null
  rm -f "$out/$archive.part"
  buildah push --quiet "$name" "docker-archive:$out/$archive.part:$name"
  mv "$out/$archive.part" "$out/$archive.tar"      # somebody may be reading the one before
}
revision=$(git rev-parse HEAD 2> /dev/null || echo unknown)
for program in operator dataplane; do
  # The folder stands for the stage "build" of the Dockerfile.
  image $program "docker.io/library/mailtrail-$program:$version" --build-context "build=$stage" --target $program \
    --build-arg "VERSION=$version" --build-arg "REVISION=$revision" .
done

client=$stage/client; mkdir -p "$client"/{bin,etc/ssl/certs,tmp}
cp "$(command -v busybox)" "$client/bin/"
for applet in sh cat date grep head rm sed seq sleep tar tr true; do ln -s busybox "$client/bin/$applet"; done
cp "$(command -v curl)" "$client/bin/"
ldd "$(command -v curl)" | grep -oE '/[^ ]+' | while read -r library; do install -D "$library" "$client$library"; done
cp /etc/ssl/certs/ca-certificates.crt "$client/etc/ssl/certs/"
printf 'FROM scratch\nCOPY . /\nENV PATH=/bin\n' > "$stage/client.Dockerfile"
image client docker.io/curlimages/curl:8.16.0 --file "$stage/client.Dockerfile" "$client"
rm -rf "$stage"
echo "$out"
