"""Compiled code is carried from one folder to another, and used there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from analysis.numba_cache import fill

MODULE = """
import numba

@numba.njit(cache=True)
def doubled(x):
    return 2 * x

value = doubled(21)
print(value, sum(doubled.stats.cache_hits.values()), sum(doubled.stats.cache_misses.values()))
"""


def run(module: Path, **variables: str) -> list[int]:
    """Result, cache hits and cache misses of the module in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(module)],
        env={
            **os.environ,
            "NUMBA_CPU_NAME": "generic",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            **variables,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [int(value) for value in done.stdout.split()]


def test_code_compiled_at_the_build_is_used_from_the_writable_folder(tmp_path: Path) -> None:
    module = tmp_path / "jitted.py"
    module.write_text(MODULE)
    built, running = tmp_path / "built", tmp_path / "tmp" / "numba"
    assert run(module, NUMBA_CACHE_DIR=str(built)) == [42, 0, 1]
    seeded = {
        "NUMBA_CACHE_LOCATOR_CLASSES": "analysis.numba_cache.SeededCacheLocator",
        "NUMBA_CACHE_DIR": str(running),
        "NUMBA_CACHE_SEED": str(built),
    }
    assert run(module, **seeded) == [42, 1, 0]
    assert [path.name for path in running.iterdir()] == [path.name for path in built.iterdir()]


def test_without_a_seed_code_is_compiled_and_kept(tmp_path: Path) -> None:
    module = tmp_path / "jitted.py"
    module.write_text(MODULE)
    variables = {
        "NUMBA_CACHE_LOCATOR_CLASSES": "analysis.numba_cache.SeededCacheLocator",
        "NUMBA_CACHE_DIR": str(tmp_path / "numba"),
        "NUMBA_CACHE_SEED": str(tmp_path / "missing"),
    }
    assert run(module, **variables) == [42, 0, 1]
    assert list((tmp_path / "numba").glob("*/jitted.doubled-*.nbc"))


def test_the_second_of_two_that_fill_a_folder_takes_the_firsts(tmp_path: Path) -> None:
    seed = tmp_path / "seed"
    seed.mkdir()
    (seed / "code.nbi").write_bytes(b"seed")
    folder = tmp_path / "numba" / "module"
    folder.mkdir(parents=True)
    (folder / "code.nbi").write_bytes(b"first")
    fill(folder, seed)
    assert (folder / "code.nbi").read_bytes() == b"first"
    assert [path.name for path in folder.parent.iterdir()] == ["module"]
