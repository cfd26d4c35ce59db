"""The bill of materials says what is installed, and says it the same way twice."""

from __future__ import annotations

import json
from pathlib import Path

from scripts.make_sbom import LOCKED_HASH, PRODUCT, bill, installed, locked, write

LOCK = """\
# a comment
httpx==0.28.1 \\
    --hash=sha256:{a} \\
    --hash=sha256:{b}
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:{b}
""".format(a="a" * 64, b="b" * 64)


def test_a_lock_is_read_with_its_hashes_and_markers() -> None:
    assert locked(LOCK) == {
        ("httpx", "0.28.1"): ["a" * 64, "b" * 64],
        ("numpy", "2.4.6"): ["b" * 64],
    }


def test_the_bill_lists_what_is_installed_with_licences_hashes_and_needs(tmp_path: Path) -> None:
    items = {name: item for name, item in installed(None).items() if name in {"httpx", "httpcore"}}
    version = items["httpx"].version
    path = tmp_path / "sbom.json"
    write(bill(items, {("httpx", version): ["a" * 64]}), path)
    document = json.loads(path.read_text())
    assert document["specVersion"] == "1.6"
    httpx = next(part for part in document["components"] if part["name"] == "httpx")
    assert httpx["purl"] == f"pkg:pypi/httpx@{version}"
    assert httpx["licenses"]
    assert httpx["properties"] == [{"name": LOCKED_HASH, "value": "a" * 64}]
    needs = {entry["ref"]: entry.get("dependsOn", []) for entry in document["dependencies"]}
    assert needs[httpx["purl"]] == [f"pkg:pypi/httpcore@{items['httpcore'].version}"]


def test_the_product_is_what_the_bill_is_of(tmp_path: Path) -> None:
    path = tmp_path / "sbom.json"
    write(bill(installed(None), {}), path)
    assert json.loads(path.read_text())["metadata"]["component"]["name"] == PRODUCT


def test_the_same_environment_gives_the_same_file(tmp_path: Path) -> None:
    items = {name: item for name, item in installed(None).items() if name.startswith("a")}
    for name in ("one.json", "two.json"):
        write(bill(items, {}), tmp_path / name)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
