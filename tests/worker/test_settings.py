"""Settings: what is read, what is refused, and how it is said."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from worker import settings as module
from worker.settings import Settings, SettingsError, usable_cpus

QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/jobs"


@pytest.fixture
def environment(clean_environment: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    clean_environment.chdir(tmp_path)
    clean_environment.setenv("WORKER_QUEUE_URL", QUEUE)
    return clean_environment


def refused(**overrides: object) -> str:
    with pytest.raises(SettingsError) as raised:
        Settings.load(**overrides)
    return str(raised.value)


def test_a_queue_is_all_that_is_required(environment: pytest.MonkeyPatch) -> None:
    settings = Settings.load()
    assert settings.queue_url == (QUEUE,)
    assert settings.visibility_timeout_s == 60
    assert settings.wait_time_s == 20
    assert settings.drain_s == 110
    environment.delenv("WORKER_QUEUE_URL")
    assert "WORKER_QUEUE_URL is required" in refused()


def test_several_queues_come_highest_first(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("WORKER_QUEUE_URL", f" {QUEUE} , {QUEUE}-low,")
    assert Settings.load().queue_url == (QUEUE, QUEUE + "-low")
    environment.setenv("WORKER_QUEUE_URL", f"{QUEUE},{QUEUE}")
    assert "twice" in refused()
    environment.setenv("WORKER_QUEUE_URL", "jobs")
    assert "'jobs' is no queue URL" in refused()


def test_the_environment_wins_over_the_file(environment: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("WORKER_CONCURRENCY=3\nWORKER_WAIT_TIME_S=7\n", encoding="utf-8")
    environment.setenv("WORKER_WAIT_TIME_S", "9")
    settings = Settings.load()
    assert settings.concurrency == 3
    assert settings.wait_time_s == 9


@pytest.mark.usefixtures("environment")
def test_lists_are_comma_separated_and_networks_are_networks() -> None:
    settings = Settings.load(
        webhook_allowed_hosts="API.Example.com,.internal",
        webhook_allowed_networks="10.0.0.0/8, fd00::/8",
        allowed_buckets="a,b",
        results_prefix="kept",
        log_level="debug",
    )
    assert settings.webhook_allowed_hosts == ("api.example.com", ".internal")
    assert settings.webhook_allowed_networks == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert settings.allowed_buckets == ("a", "b")
    assert settings.results_prefix == "kept/"
    assert settings.log_level == "DEBUG"


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("visibility_timeout_s", 43201),
        ("visibility_timeout_s", 2),
        ("wait_time_s", 21),
        ("job_timeout_s", 43201),
        ("concurrency", 0),
        ("priority_reserve", 0.6),
        ("health_port", 70000),
        ("log_level", "LOUD"),
        ("webhook_allowed_networks", "10.0.0.0/33"),
        ("analysis_profile", "guess"),
        ("retry_delay_s", 0),
    ],
)
def test_values_that_cannot_work_are_refused_by_name(name: str, value: object) -> None:
    assert f"WORKER_{name.upper()}" in refused(**{name: value})


@pytest.mark.usefixtures("environment")
def test_settings_that_do_not_fit_together_are_refused() -> None:
    said = refused(retry_delay_s=100, retry_max_delay_s=50)
    assert "WORKER_RETRY_MAX_DELAY_S (50)" in said


def test_a_secret_is_shown_neither_in_an_error_nor_in_the_settings(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("WORKER_WEBHOOK_SECRET", "whsec_verysecret")
    assert "verysecret" not in repr(Settings.load())
    assert "verysecret" not in refused(concurrency=0)


def test_the_cpus_are_those_of_the_cgroup_where_it_allows_fewer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    for quota, expected in ((None, 8), (3, 3), (16, 8)):
        monkeypatch.setattr(module, "_cgroup_cpus", lambda quota=quota: quota)
        assert usable_cpus() == expected
