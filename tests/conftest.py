"""What several folders of tests share: AWS as moto plays it, on a free port of this machine."""

from __future__ import annotations

import logging
import os
import urllib.request
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# A slow machine is no failed property. CI plays the same examples each time; elsewhere new ones
# are tried.
settings.register_profile(
    "here",
    deadline=None,
    suppress_health_check=(HealthCheck.too_slow,),
    derandomize="CI" in os.environ,
)
settings.load_profile("here")

AWS_VARIABLES = ("AWS_", "WORKER_", "MOTO_", "ECS_", "OTEL_")
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
REGION = "us-east-1"


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """The address of one moto server for the whole run; `moto_endpoint` is what tests take."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No setting, credential or proxy of the developer's own machine reaches the test."""
    for name in list(os.environ):
        if name.startswith(AWS_VARIABLES) or name.lower() in PROXY_VARIABLES:
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
def moto_endpoint(moto_server: str, clean_environment: pytest.MonkeyPatch) -> str:
    """An empty AWS account: its endpoint, which the SDK's environment points to as well."""
    for name, value in {
        "AWS_ENDPOINT_URL": moto_server,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }.items():
        clean_environment.setenv(name, value)
    reset = urllib.request.Request(f"{moto_server}/moto-api/reset", method="POST")
    with urllib.request.urlopen(reset, timeout=10) as answer:
        assert answer.status == 200
    return moto_server
