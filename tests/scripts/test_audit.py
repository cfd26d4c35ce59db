"""An audit that reached nobody is no clean bill."""

from __future__ import annotations

from scripts.audit import Verdict

CLEAN = {"name": "httpx", "version": "0.28.1", "vulns": []}
UNKNOWN = {"name": "numpy", "skip_reason": "Dependency not found on PyPI"}
BAD = {
    "name": "pillow",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.0"]}, {"id": "PYSEC-2", "fix_versions": []}],
}


def test_nothing_known_means_that_the_database_was_not_reached() -> None:
    verdict = Verdict.of({"dependencies": [UNKNOWN, UNKNOWN]})
    assert not verdict.was_reached
    assert "SKIPPED, nothing was audited" in verdict.lines("requirements.txt")[0]


def test_vulnerabilities_are_named_with_their_fix() -> None:
    verdict = Verdict.of({"dependencies": [CLEAN, BAD]})
    assert verdict.vulnerable == (
        "pillow 1.0: PYSEC-1 (fixed in 2.0)",
        "pillow 1.0: PYSEC-2 (fixed in no release yet)",
    )


def test_a_package_that_only_the_database_does_not_know_is_named() -> None:
    verdict = Verdict.of({"dependencies": [CLEAN, UNKNOWN]})
    assert verdict.was_reached
    assert verdict.lines("x")[-1] == "  unknown to the database: numpy"
