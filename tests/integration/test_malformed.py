"""Two hundred malformed messages: each ends as a dead letter with a code, and nothing more."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.integration.account import Account, unique
from tests.integration.conftest import Launch
from tests.integration.inbox import Inbox
from tests.integration.scripts import Script
from worker.contract import AnalysisJob
from worker.failures import CODES, ErrorCode, JobFailure, Policy

COUNT = 200
WRONG_COUNT = 85
SEED = 20251
LARGE = 250_000
MAX_GROWTH_MB = 12
"""What an allocator may keep after a hundred messages with large ones among them."""

WRONG: list[Any] = [None, True, 0, -1, 1.5, 1e308, "", " ", [], {}, ["x"], {"a": {}}, "x" * 5000]

TRICKS = [
    "\ufeff{}",
    "{}{}",
    "{'job_id': 'single quotes'}",
    '{"job_id": NaN}',
    '{"job_id": Infinity, "s3_audio_url": 1e999}',
    '{"job_id": ' + "9" * 4000 + "}",
    '"just a string"',
    "null",
    "[]",
    "0",
    "[" * 100_000,
    '{"a":' * 20_000 + "1" + "}" * 20_000,
    '{"job_id": "deep", "metadata": ' + "[" * 5000 + "]" * 5000 + "}",
    '{"job_id": "\\ud800", "s3_audio_url": "s3://b/k"}',
    '{"job_id": "null\\u0000byte", "s3_audio_url": "s3://bucket/\\u0000"}',
    '{"job_id": "\u202egnp.exe", "s3_audio_url": "s3://b/k"}',
    '{"job_id": "zero\u200bwidth", "s3_audio_url": "s3://b/k"}',
    '{"job_id": "ｆｕｌｌｗｉｄｔｈ", "s3_audio_url": "s3://b/k"}',
    '{"job_id": "\U0001f600", "s3_audio_url": "s3://b/k"}',
    '{"job_id": "../../etc/passwd", "s3_audio_url": "s3://b/k"}',
    '{"job_id": "a\\n", "s3_audio_url": "s3://b/k"}',
    '{"job_id": "twice", "job_id": 7, "s3_audio_url": "s3://b/k"}',
    "<?xml version='1.0'?><job/>",
    "\u0391\u0392\u0393 " * 500,
    "AAECAwQFBgcICQ==" * 100,
    "{" + '"k": 1,' * 10_000 + '"job_id": null}',
    '{"job_id": "large", "text": "' + "y" * LARGE + '"}',
    '{"job_id": "' + "z" * LARGE + '"}',
    "[" + "1," * (LARGE // 2) + "1]",
    "\U0001d11e" * (LARGE // 4),
]

ADDRESSES = [
    "https://",
    "https:///hook",
    "http://[::1",
    "https://[::ffff:169.254.169.254]/",
    "https://169.254.169.254/latest/meta-data",
    "https://2852039166/",
    "javascript:alert(1)",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "//no-scheme.example/hook",
    "https://user:secret@127.0.0.1/hook",
    "https://127.0.0.1:99999/hook",
    "https://127.0.0.1:port/hook",
    "https://exa mple.com/hook",
    "https://example.com\\@169.254.169.254/",
    "https://xn--\U0001f4a9.example/" + "a" * 300,
    "https://" + "a" * 300 + ".example/",
    "https://\u0000.example/",
    "ftp://127.0.0.1/hook",
]

LOCATIONS = [
    "s3://",
    "s3://only-a-bucket",
    "s3:///no-bucket",
    "s3://UPPER_case/key",
    "s3://b/k",
    "s3://bucket/" + "k" * 1100,
    "s3://bucket/line\nbreak",
    "s3://buc..ket/key",
    "https://example.com/not-s3.wav",
    "http://169.254.169.254/latest",
    "https://s3.amazonaws.com/",
    "file:///etc/passwd",
    "bare-key-with-no-default-bucket",
    "s3://bucket/\ud800".encode("utf-8", "replace").decode(),
    "%00",
    "https://s3.amazonaws.com/bucket/%ff%fe",
]


def bodies(inbox: Inbox) -> Iterator[str]:
    """Every body that must end as a dead letter, in one fixed order for one seed."""
    draw = random.Random(SEED)

    def job(**fields: Any) -> dict[str, Any]:
        usual = {"s3_audio_url": "s3://none/none", "webhook_url": inbox.url(), "text": "say hi"}
        return {"job_id": unique("bad"), **usual, **fields}

    yield from TRICKS
    yield from (json.dumps(job(webhook_url=address)) for address in ADDRESSES)
    yield from (json.dumps(job(s3_audio_url=location)) for location in LOCATIONS)
    wrong = [json.dumps(job(**{f: value})) for f in AnalysisJob.model_fields for value in WRONG]
    yield from draw.sample([body for body in wrong if not is_valid(body)], WRONG_COUNT)
    while True:
        yield fuzzed(draw, json.dumps(job(metadata={"a": 1, "b": "둘"}), ensure_ascii=False))


def fuzzed(draw: random.Random, text: str) -> str:
    """Damage a message in a few places, until it is no longer one."""
    while is_valid(text):
        for _ in range(draw.randint(1, 6)):
            place = draw.randrange(len(text))
            junk = "".join(chr(draw.choice([0x7B, 0x22, 0x2C, 0xE9, 0x4E00])) for _ in range(3))
            text = text[:place] + draw.choice(["", junk]) + text[place + draw.randint(0, 8) :]
    return text


def is_valid(body: str) -> bool:
    try:
        AnalysisJob.parse(body)
    except JobFailure:
        return False
    return True


def test_each_becomes_a_dead_letter_with_a_code_and_the_worker_goes_on_no_larger(
    account: Account, launch: Launch, inbox: Inbox
) -> None:
    queue = account.queue(max_receives=3)
    worker = launch(queue.url, max_audio_mb=1)
    source = bodies(inbox)
    sent = [body for body, _ in zip(source, range(COUNT), strict=False)]
    random.Random(SEED).shuffle(sent)

    for body in sent[: COUNT // 2]:
        queue.send(body)
    queue.dead_letters(COUNT // 2, within_s=90)
    warm_mb = worker.rss_mb()
    for body in sent[COUNT // 2 :]:
        queue.send(body)
    letters = queue.dead_letters(COUNT, within_s=90)

    assert Counter(letter.body for letter in letters) == Counter(sent)
    codes = Counter(letter.code for letter in letters)
    assert set(codes) <= {code.value for code in CODES if CODES[code].policy is Policy.PERMANENT}
    assert codes[ErrorCode.INVALID_JSON] >= 30
    assert codes[ErrorCode.INVALID_MESSAGE] >= 50
    assert codes[ErrorCode.URL_REFUSED] >= 10
    assert {letter.attributes["receive_count"] for letter in letters} == {"1"}
    assert worker.rss_mb() - warm_mb < MAX_GROWTH_MB

    good = Script(inbox, "good")
    good.send(queue)
    inbox.wait(good.job_id, "analysis.completed")
    assert worker.logs("job_raised") == []
    assert worker.logs(level="critical") == []
    worker.wait_for_metric("analysis_worker_jobs_in_flight", 0)
    assert worker.stop() == 0
