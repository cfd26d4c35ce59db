"""The network's runtime: what it must not do beside computing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

LOADED = """
from analysis.network import PhoneNetwork

PhoneNetwork()
"""


def files_made(home: Path, code: str, **variables: str) -> list[Path]:
    """Run Python with an empty home and an empty folder for temporary files; what it leaves."""
    (home / "tmp").mkdir(parents=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "PYTHONPATH": str(ROOT),
        **variables,
    }
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
    return [path for path in home.rglob("*") if path.is_file()]


def test_the_runtime_reports_nothing_to_its_makers(tmp_path: Path) -> None:
    assert files_made(tmp_path / "ours", LOADED) == []
    # The switch is the library's own: by itself it would leave the marks of its telemetry.
    assert files_made(tmp_path / "its own way", "import onnxruntime") != []
