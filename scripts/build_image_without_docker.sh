#!/bin/bash
# Build the Dockerfile for real where there is no Docker, and run what came out.
#
#   scripts/build_image_without_docker.sh [FOLDER]      (default: .cache/image)
#
# Needs Debian's buildah and mmdebstrap, and root. The base is a Debian with its own Python, made
# here and named as PYTHON_IMAGE; the steps run in a chroot, so no daemon and no registry is needed.
# docs/image.md says what this proves and what it does not.
#
# BUILDAH_ARGS   more arguments for buildah: where pip goes through a mirror, its settings
# DEBIAN_MIRROR  default: http://deb.debian.org/debian
set -euo pipefail
cd "$(dirname "$0")/.."

for program in buildah mmdebstrap; do
  if ! command -v "$program" >/dev/null; then
    echo "image: SKIPPED, nothing was built: $program is not installed (Debian has it)."
    exit 0
  fi
done

folder=$(realpath -m "${1:-.cache/image}")
base=localhost/python-base:3.11
mkdir -p "$folder"
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
buildah() { command buildah --root "$folder/storage" --runroot "$folder/run" "$@"; }

if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
  mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates \
    bookworm "$folder/base.tar" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$folder/base.tar" / >/dev/null
  buildah run "$container" -- ln --symbolic --force /usr/bin/python3 /usr/local/bin/python
  buildah commit --quiet "$container" "$base" >/dev/null
  buildah rm "$container" >/dev/null
  rm "$folder/base.tar"
fi

read -r -a more <<<"${BUILDAH_ARGS:-}"
started=$SECONDS
buildah build --quiet --format docker --pull-never --build-arg "PYTHON_IMAGE=$base" \
  --build-arg "VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)" \
  --build-arg "REVISION=$(git rev-parse HEAD)" "${more[@]}" --tag worker .
echo "built in $((SECONDS - started)) s"

container=$(buildah from --pull-never worker)
root=$(buildah mount "$container")
trap 'buildah umount "$container" >/dev/null; buildah rm "$container" >/dev/null' EXIT

measured() { echo "$(du --summarize --block-size=1MB "$1" | cut -f1) MB  $2"; }
measured "$root" "the whole image"
measured "$root/opt/worker" "of them /opt/worker"
(cd "$root"/opt/worker/lib/python3.*/site-packages && du --block-size=1MB --max-depth=1 | sort --numeric-sort --reverse | sed -n '2,9p')

# As the fleet runs it: not root, root file system read-only, /tmp a tmpfs that holds no programs.
# Every container has a /dev/shm. chroot(8) takes no environment from the image: it is given here.
mapfile -t environment < <(buildah inspect --format '{{range .OCIv1.Config.Env}}{{println .}}{{end}}' "$container" | sed '/^$/d')
# shellcheck disable=SC2016  # expanded by the inner shell
in_image() {
  unshare --mount bash -euc 'mount --bind "$0" "$0"
    mount --options remount,bind,ro "$0"
    mount --types tmpfs --options nosuid,nodev,noexec,mode=1777,size=256m tmpfs "$0/tmp"
    mount --types tmpfs --options nosuid,nodev,noexec,mode=1777,size=64m tmpfs "$0/dev/shm"
    mount --bind "$1" "$0/mnt"
    mount --types proc proc "$0/proc"
    shift
    exec chroot --userspec=10001:10001 "$0" /usr/bin/env --chdir=/tmp --ignore-environment "$@"' \
    "$root" "$PWD/tests/fixtures/harbor" "${environment[@]}" "$@"
}
if in_image touch /opt/worker/written 2>/dev/null; then
  echo "the root file system is writable: the check would prove nothing" >&2
  exit 1
fi
echo "--- as user $(in_image id -u) on a read-only root"
in_image analysis-worker version
started=$(date +%s%N)
in_image python -m analysis score /mnt/good.flac /mnt/actor.TextGrid /mnt/pitch.json
echo "scored in $(( ($(date +%s%N) - started) / 1000000 )) ms, start of the process included"
in_image python -c '
import time
started = time.perf_counter()
from analysis.scoring import warm_up
warm_up(reference_audio=True)
print(f"warm, with librosa and what numba compiled, in {time.perf_counter() - started:.1f} s")
from pathlib import Path
seed, used = Path("/opt/worker/numba"), Path("/tmp/numba")
new = {p.name for p in used.rglob("*.nbc")} - {p.name for p in seed.rglob("*.nbc")}
assert any(used.rglob("*.nbc")) and not new, f"compiled again: {sorted(new)}"
print("nothing was compiled anew")'
# Queue and bucket are missing here, and check says so; what is in the image must be well.
in_image WORKER_QUEUE_URL=http://127.0.0.1:9/0/none AWS_REGION=eu-west-1 AWS_ENDPOINT_URL=http://127.0.0.1:9 \
  AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none AWS_MAX_ATTEMPTS=1 analysis-worker check || true
