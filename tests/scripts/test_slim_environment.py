"""Only what is named goes, and a folder that is no environment is left alone."""

from __future__ import annotations

from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.slim_environment import SERVICES, UNUSED_PACKAGES, slim


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def package(packages: Path, name: str, module: str) -> Path:
    """Lay a package down as pip does; its module's file."""
    file = write(packages / module / "__init__.py")
    write(packages / module / "__pycache__" / "__init__.cpython-311.pyc")
    info = packages / f"{module}-1.0.dist-info"
    write(info / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    script = write(packages.parents[2] / "bin" / module)
    write(
        info / "RECORD",
        "\n".join(
            (
                f"{module}/__init__.py,,",
                f"{info.name}/METADATA,,",
                f"{info.name}/RECORD,,",
                f"../../../bin/{script.name},,",
            )
        ),
    )
    return file


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    packages = tmp_path / "env" / "lib" / "python3.11" / "site-packages"
    package(packages, "scikit-learn", "sklearn")
    package(packages, "httpx", "httpx")
    write(packages / "scipy" / "fft" / "tests" / "test_fft.py")
    write(packages / "scipy" / "fft" / "__init__.py")
    write(packages / "numpy" / "_core" / "tests" / "_natype.py")
    write(packages / "botocore" / "data" / "sqs" / "service-2.json")
    write(packages / "botocore" / "data" / "ec2" / "service-2.json")
    write(packages / "botocore" / "data" / "endpoints.json")
    return tmp_path / "env"


def left(prefix: Path) -> set[str]:
    packages = prefix / "lib" / "python3.11" / "site-packages"
    return {file.relative_to(packages).as_posix() for file in packages.rglob("*") if file.is_file()}


def test_unused_packages_tests_and_services_go(prefix: Path) -> None:
    assert slim(prefix) > 0
    remaining = left(prefix)
    assert not any(name.startswith(("sklearn", "scikit")) for name in remaining)
    assert not (prefix / "bin" / "sklearn").exists()
    assert "scipy/fft/tests/test_fft.py" not in remaining
    assert "botocore/data/ec2/service-2.json" not in remaining


def test_everything_else_stays(prefix: Path) -> None:
    slim(prefix)
    assert {
        "httpx/__init__.py",
        "scipy/fft/__init__.py",
        "numpy/_core/tests/_natype.py",
        "botocore/data/sqs/service-2.json",
        "botocore/data/endpoints.json",
    } <= left(prefix)
    assert (prefix / "bin" / "httpx").exists()


def test_a_second_time_there_is_nothing_left_to_do(prefix: Path) -> None:
    slim(prefix)
    assert slim(prefix) == 0


def test_a_folder_that_is_no_environment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no Python environment"):
        slim(tmp_path)


def test_nothing_that_the_worker_itself_requires_is_called_unused() -> None:
    needed = {
        canonicalize_name(requirement.name)
        for text in requires("analysis-worker") or ()
        if not (requirement := Requirement(text)).marker
    }
    assert needed
    assert needed & set(UNUSED_PACKAGES) == set()


def test_the_services_that_are_called_and_those_of_credentials_stay() -> None:
    assert {"sqs", "s3", "secretsmanager", "sts"} <= SERVICES
