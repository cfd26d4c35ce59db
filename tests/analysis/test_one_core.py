"""Threads of libraries share one core with whoever calls them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.audio import SAMPLE_RATE_HZ, Recording
from analysis.one_core import on_one_core
from analysis.pitch import track_pitch

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs two cores and a kernel that binds threads to them",
)


def test_threads_started_inside_are_bound_to_one_core_and_the_caller_is_free_again() -> None:
    before = os.sched_getaffinity(0)
    found: list[set[int]] = []
    with on_one_core():
        thread = threading.Thread(target=lambda: found.append(os.sched_getaffinity(0)))
        thread.start()
        thread.join()
    (inside,) = found
    assert len(inside) == 1
    assert inside < before
    assert os.sched_getaffinity(0) == before


def test_the_caller_is_free_again_after_an_error() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(LookupError), on_one_core():
        raise LookupError
    assert os.sched_getaffinity(0) == before


def test_where_binding_is_forbidden_the_work_is_done_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", forbidden)
    with on_one_core():
        done = True
    assert done


def test_tracking_pitch_computes_for_no_longer_than_it_lasts(
    voice: Callable[[NDArray[np.float64]], Recording],
) -> None:
    times = np.arange(10 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    recording = voice(150.0 * 2.0 ** (0.3 * np.sin(times)))
    track_pitch(recording)
    began, began_cpu = time.perf_counter(), time.process_time()
    track_pitch(recording)
    took, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    assert cpu <= 1.1 * took + 0.01
