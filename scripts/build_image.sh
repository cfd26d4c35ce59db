#!/bin/bash
# Build the image, check that it works, and push it where that is asked for.
#
#   scripts/build_image.sh                       # build for this machine's CPU, tag worker:VERSION
#   scripts/build_image.sh --push REPOSITORY     # for x86-64 and arm64, to a registry
#
# PYTHON_IMAGE   base image; to push it must be pinned: python:3.11-slim-bookworm@sha256:...
# TAG            default: the version in pyproject.toml and the commit
# PLATFORMS      default for --push: linux/amd64,linux/arm64
set -euo pipefail
cd "$(dirname "$0")/.."

image=${PYTHON_IMAGE:-python:3.11-slim-bookworm}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
revision=$(git rev-parse HEAD)
tag=${TAG:-$version-${revision:0:12}}
if [ -n "$(git status --porcelain -- analysis worker requirements.txt Dockerfile)" ]; then
  tag=$tag-dirty
fi

arguments=(
  --build-arg "PYTHON_IMAGE=$image"
  --build-arg "VERSION=$version"
  --build-arg "REVISION=$revision"
  --build-arg "CREATED=$(git show --no-patch --format=%cI HEAD)"
)

case "${1:-}" in
  "")
    docker build "${arguments[@]}" --tag "worker:$tag" .
    # As it runs in the fleet: read-only root, no capabilities, a small /tmp.
    docker run --rm --read-only --tmpfs /tmp:size=256m,nosuid,nodev,noexec --cap-drop ALL \
      --security-opt no-new-privileges --volume "$PWD/tests/fixtures/harbor:/data:ro" \
      --entrypoint python "worker:$tag" \
      -m analysis score /data/good.flac /data/actor.TextGrid /data/pitch.json
    docker image inspect --format 'worker:'"$tag"' holds {{.Size}} bytes' "worker:$tag"
    ;;
  --push)
    repository=${2:?"--push needs the repository, such as 123456789012.dkr.ecr.eu-west-1.amazonaws.com/speech"}
    case "$image" in
      *@sha256:*) ;;
      *)
        echo "PYTHON_IMAGE ($image) is not pinned. What a tag means changes; find its digest with" >&2
        echo "  docker buildx imagetools inspect $image --format '{{.Manifest.Digest}}'" >&2
        echo "and set PYTHON_IMAGE=$image@sha256:..." >&2
        exit 1
        ;;
    esac
    case "$tag" in
      *-dirty)
        echo "There are changes that are not committed: what is pushed must be what a commit holds." >&2
        exit 1
        ;;
    esac
    docker buildx build "${arguments[@]}" --platform "${PLATFORMS:-linux/amd64,linux/arm64}" \
      --provenance true --sbom true --tag "$repository:$tag" --push .
    echo "image_tag = \"$tag\""
    ;;
  *)
    sed -n '2,9p' "$0" >&2
    exit 2
    ;;
esac
