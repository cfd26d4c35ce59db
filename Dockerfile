# The worker's image. docs/image.md says how it is built, measured and pinned.
#
#   docker build --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:… --tag worker .
#
# PYTHON_IMAGE without a digest is for a desk: scripts/build_image.sh refuses to push such a build.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# --- build: everything is made here, and only /opt/worker leaves ---------------------------------
FROM ${PYTHON_IMAGE} AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_INPUT=1

WORKDIR /src
COPY requirements.txt requirements-dev.txt ./

# Hashed throughout. One dependency comes as source alone, so the tool that builds it is taken from
# the same lock and no other is fetched behind our back.
RUN python3 -m venv /opt/worker \
    && awk '/^setuptools==/ {found = 1} found {print; if ($0 !~ /\\$/) exit}' requirements-dev.txt > build.txt \
    && /opt/worker/bin/pip install --require-hashes --requirement build.txt \
    && /opt/worker/bin/pip install --require-hashes --no-build-isolation --requirement requirements.txt

COPY pyproject.toml README.md LICENSE ./
COPY analysis analysis
COPY worker worker
RUN /opt/worker/bin/pip install --no-deps --no-build-isolation .

COPY scripts/slim_environment.py ./
RUN /opt/worker/bin/python slim_environment.py /opt/worker \
    && /opt/worker/bin/python -m compileall -q -j 0 /opt/worker/lib

# Models read once and numba's code compiled for any CPU model, so that a container is ready in
# seconds wherever it starts. Run outside /src: what was installed is warmed, not the sources.
ENV NUMBA_CPU_NAME=generic
WORKDIR /opt/worker
RUN NUMBA_CACHE_DIR=/opt/worker/numba /opt/worker/bin/python -m analysis warmup \
    && chmod -R a+rX,go-w /opt/worker

# --- the image -----------------------------------------------------------------------------------
FROM ${PYTHON_IMAGE}

ARG VERSION=0+unknown
ARG REVISION=unknown
ARG CREATED=unknown
ARG SOURCE=""
LABEL org.opencontainers.image.title="analysis-worker" \
      org.opencontainers.image.description="Takes speech-analysis jobs from SQS, scores them, and posts signed results to a webhook" \
      org.opencontainers.image.licenses="GPL-3.0-or-later" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"

COPY --from=build /opt/worker /opt/worker

# The root may be read-only: all that is written goes to /tmp, a tmpfs (analysis/numba_cache.py).
ENV PATH=/opt/worker/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    NUMBA_CPU_NAME=generic \
    NUMBA_CACHE_DIR=/tmp/numba \
    NUMBA_CACHE_SEED=/opt/worker/numba \
    NUMBA_CACHE_LOCATOR_CLASSES=analysis.numba_cache.SeededCacheLocator

USER 10001:10001
WORKDIR /tmp
EXPOSE 8080

HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ.get('WORKER_HEALTH_PORT', 8080)}/livez\", timeout=4)"]

# Exec form: SIGTERM reaches the worker, which drains (up to WAIT_TIME_S + SHUTDOWN_GRACE_S).
STOPSIGNAL SIGTERM
ENTRYPOINT ["analysis-worker"]
CMD ["run"]
