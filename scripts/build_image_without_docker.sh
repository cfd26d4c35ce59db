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
trap 'umount "$root/tmp" 2>/dev/null || true; buildah umount "$container" >/dev/null; buildah rm "$container" >/dev/null' EXIT

measured() { echo "$(du --summarize --block-size=1M "$1" | cut -f1) MB  $2"; }
measured "$root" "the whole image"
measured "$root/opt/worker" "of them /opt/worker"
du --block-size=1M --max-depth=1 "$root"/opt/worker/lib/python3.*/site-packages | sort --numeric-sort --reverse | sed -n '2,9p'

# As the fleet runs it: not root, root file system read-only, /tmp a tmpfs that holds no programs.
# chroot(8) takes no environment from the image, so it is given here.
mapfile -t environment < <(buildah inspect --format '{{range .OCIv1.Config.Env}}{{println .}}{{end}}' "$container" | sed '/^$/d')
mount --types tmpfs --options nosuid,nodev,noexec,mode=1777,size=256m tmpfs "$root/tmp"
mkdir "$root/tmp/speech"
cp tests/fixtures/harbor/{good.flac,actor.TextGrid,actor.flac,pitch.json} "$root/tmp/speech"
in_image() {
  unshare --mount bash -c 'mount --bind "$0" "$0"; mount --options remount,bind,ro "$0"
    mount --types tmpfs --options nosuid,nodev,noexec,mode=1777,size=256m tmpfs "$0/tmp"
    mount --bind "$1" "$0/mnt" && mount --types proc proc "$0/proc"
    shift; exec chroot --userspec=10001:10001 "$0" /usr/bin/env --chdir=/tmp --ignore-environment "$@"' \
    "$root" "$root/tmp/speech" "${environment[@]}" "$@"
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
in_image python -c 'import time; t = time.perf_counter()
from analysis.scoring import warm_up
warm_up(reference_audio=True)
print(f"warm with all of numba in {time.perf_counter() - t:.1f} s")
import numba.core.caching, librosa.sequence as s
from librosa.sequence import dtw
print("cache", s.__dtw_calc_accu_cost.stats if hasattr(s, "__dtw_calc_accu_cost") else "used")'
in_image analysis-worker check || echo "check found what is missing outside a fleet (queue, buckets)"
