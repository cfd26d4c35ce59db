"""Check infra/: format, validity, tests, example plans, and that the READMEs say what is there.

    python scripts/check_infra.py            # what `make infra` runs
    python scripts/check_infra.py iam queues # some modules only

Needs terraform. Where the Terraform registry cannot be reached, TERRAFORM_WRAPPER names a program
to run terraform through (a command line; terraform and its arguments are appended). Without
terraform, or without registry and wrapper, it says so and exits 0: nothing was checked, and the
last line says that too.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # so that `python scripts/check_infra.py` finds its own package

from scripts.infra import module_docs  # noqa: E402

INFRA: Final = ROOT / "infra"
DATA: Final = ROOT / ".cache" / "terraform"
"""Terraform's working data, one folder for each root: nothing is written into infra/."""

UNREACHABLE: Final = ("could not connect to", "Failed to query available provider packages")


class RegistryUnreachableError(Exception):
    """The provider cannot be fetched, and no wrapper answers in its place."""


@dataclass(frozen=True)
class Terraform:
    """How terraform is run here."""

    command: tuple[str, ...]
    is_wrapped: bool

    @classmethod
    def find(cls) -> Terraform | None:
        """Terraform as this machine has it, or None."""
        binary = shutil.which("terraform")
        if binary is None:
            return None
        wrapper = shlex.split(os.environ.get("TERRAFORM_WRAPPER", ""))
        return cls((*wrapper, binary), bool(wrapper))

    def run(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command in a folder; output and errors come back together."""
        environment = {
            **os.environ,
            "TF_DATA_DIR": str(DATA / (folder.relative_to(ROOT).as_posix().replace("/", "-"))),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
            # The wrapper stands in for AWS, and plans nothing real.
            **({"AWS_REGION": "eu-west-1"} if self.is_wrapped else {}),
        }
        config = environment.get("TF_CLI_CONFIG_FILE")
        if config and not Path(config).exists():
            del environment["TF_CLI_CONFIG_FILE"]
        return subprocess.run(
            [*self.command, f"-chdir={folder}", *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def init(self, folder: Path) -> subprocess.CompletedProcess[str]:
        """Prepare a folder.

        Raises
        ------
        RegistryUnreachableError
            There is no way to the registry and no wrapper.
        """
        DATA.mkdir(parents=True, exist_ok=True)
        done = self.run(folder, "init", "-input=false", "-no-color", "-backend=false")
        if done.returncode and any(sign in done.stdout for sign in UNREACHABLE):
            raise RegistryUnreachableError
        return done


def roots() -> list[Path]:
    """Every folder that terraform can be run in: modules first, then the fleet, then examples."""
    folders = [*sorted((INFRA / "modules").iterdir()), INFRA]
    folders += sorted((INFRA / "examples").iterdir())
    return [folder for folder in folders if (folder / "main.tf").exists()]


def steps(terraform: Terraform, folder: Path) -> Iterator[tuple[str, Callable[[], str | None]]]:
    """The checks of one folder by name; each returns what is wrong, or None."""

    def ran(*arguments: str) -> str | None:
        done = terraform.run(folder, *arguments)
        return done.stdout if done.returncode else None

    def init() -> str | None:
        done = terraform.init(folder)
        return done.stdout if done.returncode else None

    yield "init", init
    yield "validate", lambda: ran("validate", "-no-color")
    if (folder / "tests").is_dir():
        yield "test", lambda: ran("test", "-no-color")
    example = folder / "terraform.tfvars.example"
    if terraform.is_wrapped and example.exists():
        yield (
            "plan",
            lambda: ran(
                *("plan", "-input=false", "-no-color", "-lock=false", "-refresh=false"),
                f"-var-file={example}",
            ),
        )


def what_went_wrong(output: str) -> str:
    """Terraform's output from its first error on: a plan before it may be thousands of lines."""
    lines = output.strip().splitlines()
    first = next((at for at, line in enumerate(lines) if "Error: " in line), 0)
    return "\n".join(lines[max(0, first - 1) :])


def check(terraform: Terraform, folders: list[Path]) -> int:
    """Run all checks and print a line for each; the number that failed."""
    failures: list[tuple[str, str]] = []
    passed = 0

    def report(name: str, fault: str | None, seconds: float) -> None:
        nonlocal passed
        print(f"{'FAILED' if fault else 'ok':>6}  {name}  {seconds:.1f} s", flush=True)
        if fault:
            failures.append((name, fault))
        else:
            passed += 1

    started = time.monotonic()
    done = terraform.run(INFRA, "fmt", "-check", "-recursive", "-diff", "-no-color")
    report("infra: fmt", done.stdout if done.returncode else None, time.monotonic() - started)

    for folder in folders:
        name = folder.relative_to(ROOT).as_posix()
        stale = module_docs.stale(folder)
        report(f"{name}: README", stale, 0.0)
        for step, action in steps(terraform, folder):
            started = time.monotonic()
            fault = action()
            report(f"{name}: {step}", fault, time.monotonic() - started)
            if fault and step == "init":
                break

    for name, fault in failures:
        print(f"\n--- {name}\n{what_went_wrong(fault)}")
    print(f"\ninfra: {passed} passed, {len(failures)} failed")
    return len(failures)


def main(names: list[str]) -> int:
    """Check the named folders, or all."""
    terraform = Terraform.find()
    if terraform is None:
        print("infra: SKIPPED, nothing was checked: terraform is not installed.")
        return 0
    if shutil.which(terraform.command[0]) is None:
        print(f"infra: TERRAFORM_WRAPPER begins with {terraform.command[0]}, which is no program.")
        return 2
    every = roots()
    unknown = set(names) - {folder.name for folder in every}
    if unknown:
        print(f"infra: no folder is called {', '.join(sorted(unknown))}.")
        return 2
    folders = [folder for folder in every if not names or folder.name in names]
    try:
        return 1 if check(terraform, folders) else 0
    except RegistryUnreachableError:
        print(
            "infra: SKIPPED, only the format was checked: the Terraform registry cannot be reached "
            "and TERRAFORM_WRAPPER names no program to answer in its place."
        )
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
