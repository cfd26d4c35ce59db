"""Take out of a Python environment what a worker never runs. For an image, not for a desk.

    python scripts/slim_environment.py /opt/worker

Every entry says why it is safe; the image build scores a recording afterwards, so a wrong one
stops the build. Packages that only `analysis report` or other people's functions of librosa need
are removed whole, with what only they need.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final

UNUSED_PACKAGES: Final = {
    "matplotlib": "draws reports, which a worker does not",
    **dict.fromkeys(
        ("contourpy", "cycler", "fonttools", "kiwisolver", "pillow", "pyparsing"),
        "only matplotlib needs it",
    ),
    "jinja2": "lays out reports, which a worker does not",
    "markupsafe": "only jinja2 needs it",
    "scikit-learn": "librosa loads it for decomposition and clustering alone",
    "narwhals": "only scikit-learn needs it",
    "sounddevice": "pocketsphinx needs it to listen to a microphone alone",
    "pip": "nothing is installed in a running image",
    "setuptools": "nothing is built in a running image",
}

SERVICES: Final = frozenset({"s3", "secretsmanager", "sqs", "ssm", "sso", "sso-oidc", "sts"})
"""AWS services that are called, or that credentials come from. botocore carries 400."""

TESTS_OF: Final = ("joblib", "librosa", "llvmlite", "numba", "scipy")
"""Packages whose own tests are large. numpy's are not listed: numpy.testing imports from them."""

UNUSED_PARTS: Final = (
    "onnxruntime/transformers",  # converts models; a worker runs them
    "onnxruntime/quantization",
    "onnxruntime/tools",
)


def site_packages(prefix: Path) -> Path:
    """The one folder of packages of an environment.

    Raises
    ------
    ValueError
        The folder is no environment.
    """
    found = sorted(prefix.glob("lib/python3.*/site-packages"))
    if len(found) != 1:
        raise ValueError(f"{prefix} is no Python environment: {len(found)} site-packages in it")
    return found[0]


def unused(packages: Path) -> Iterator[Path]:
    """Every file and folder that can go."""
    for distribution in distributions(path=[str(packages)]):
        if _name(distribution) in UNUSED_PACKAGES:
            yield from _files_of(distribution, packages)
    for package in TESTS_OF:
        yield from (path for path in (packages / package).rglob("tests") if path.is_dir())
    yield from (packages / part for part in UNUSED_PARTS)
    yield from (
        path
        for path in (packages / "botocore" / "data").glob("*")
        if path.is_dir() and path.name not in SERVICES
    )


def slim(prefix: Path) -> int:
    """Remove what is unused; how many bytes that freed."""
    packages = site_packages(prefix)
    freed = 0
    for path in list(unused(packages)):
        if path.is_dir() and not path.is_symlink():
            freed += sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())
            shutil.rmtree(path)
        elif path.exists():
            freed += path.lstat().st_size
            path.unlink()
            for folder in path.parents:  # an empty *.dist-info would still look installed
                if folder == packages or any(folder.iterdir()):
                    break
                folder.rmdir()
    return freed


def _name(distribution: Distribution) -> str:
    return distribution.metadata["Name"].lower().replace("_", "-")


def _files_of(distribution: Distribution, packages: Path) -> Iterator[Path]:
    # RECORD lists what pip put there, and only that: a namespace that others share stays.
    root = packages.resolve()
    for entry in distribution.files or ():
        path = (packages / entry).resolve()
        if path.is_relative_to(root.parents[2]):
            yield path
            yield from path.parent.glob(f"__pycache__/{path.stem}.*.pyc")


def main() -> None:
    """Slim the environment that is named."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    freed = slim(Path(sys.argv[1]))
    print(f"{freed / 2**20:.0f} MiB removed")


if __name__ == "__main__":
    main()
