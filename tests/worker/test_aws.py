"""How dates in the SDK's answers are read."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from botocore.utils import parse_timestamp

from worker.aws import read_timestamp


@pytest.mark.parametrize(
    "written",
    [
        "Thu, 01 Jan 2026 00:00:00 GMT",
        "Sun, 22 Nov 2026 23:59:59 GMT",
        "2026-11-22T09:18:18.000Z",
        "2026-11-22T09:18:18+00:00",
        "2026-11-22T18:18:18+09:00",
        1767225600,
        1767225600.25,
        "1767225600",
    ],
)
def test_a_date_is_read_as_the_sdk_itself_reads_it(written: str | float) -> None:
    assert read_timestamp(written) == parse_timestamp(written)  # type: ignore[arg-type]


def test_a_date_without_a_zone_is_utc() -> None:
    assert read_timestamp("2026-11-22T09:18:18") == datetime(2026, 11, 22, 9, 18, 18, tzinfo=UTC)


def test_what_is_no_date_is_refused_as_the_sdk_refuses_it() -> None:
    with pytest.raises(ValueError, match="Invalid timestamp"):
        read_timestamp("yesterday")


def test_a_zone_is_kept() -> None:
    read = read_timestamp("2026-11-22T18:18:18+09:00")
    assert read.tzinfo == timezone(timedelta(hours=9))
