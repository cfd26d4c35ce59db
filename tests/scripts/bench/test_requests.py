"""Single requests: each is made in both ways, and what it leaves behind is nothing."""

import os

import pytest

from scripts.bench import requests, sqs_server
from scripts.child_process import NotInstalledError


def test_each_request_is_made_in_both_ways_and_compared() -> None:
    try:
        sqs_server.chosen()
    except NotInstalledError as missing:
        pytest.skip(str(missing))
    environment = dict(os.environ)
    figures = {figure.name: figure for figure in requests.measure(1, requests=5)}
    assert dict(os.environ) == environment
    for kind, (ours, theirs) in requests.KINDS.items():
        ratio = figures[f"{kind}: {ours} / {theirs}"].value
        assert ratio == figures[ours].value / figures[theirs].value > 0
