"""A bill of materials (CycloneDX 1.6, JSON) of an environment. What `make sbom` runs.

    python scripts/make_sbom.py sbom.json                # what requirements.txt locks, as installed
    python scripts/make_sbom.py sbom.json /opt/worker    # everything in another environment

The same environment gives the same file to the byte: no time of day, no random serial number.
Native libraries inside wheels (FFmpeg in av, LLVM in llvmlite) are not listed one by one; the wheel
that carries them is, with the hashes of the lock.
"""

from __future__ import annotations

import re
import sys
import uuid
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, License, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[1]
PRODUCT: Final = "analysis-worker"
LOCKED_HASH: Final = "analysis-worker:lock:sha256"
_LOCKED: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def locked(text: str) -> dict[tuple[str, str], list[str]]:
    """The lock's SHA-256 hashes by name and version: those of every file a release has."""
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text)
    found: dict[tuple[str, str], list[str]] = {}
    for block in blocks:
        if match := _LOCKED.match(block):
            found[canonicalize_name(match[1]), match[2]] = _HASH.findall(block)
    return found


def installed(prefix: Path | None) -> dict[str, Distribution]:
    """What an environment holds, by name; this one's own if none is given."""
    if prefix is None:
        found: Iterable[Distribution] = distributions()
    else:
        found = distributions(
            path=[str(path) for path in prefix.glob("lib/python3.*/site-packages")]
        )
    return {canonicalize_name(item.metadata["Name"]): item for item in found}


def _field(item: Distribution, name: str) -> str | None:
    found = item.metadata.get_all(name)
    return found[0] if found else None


def _license(item: Distribution) -> License | None:
    if expression := _field(item, "License-Expression"):
        return LicenseExpression(expression)
    classifiers = [
        text.rpartition(" :: ")[2]
        for text in item.metadata.get_all("Classifier") or []
        if text.startswith("License ::")
    ]
    stated = classifiers or [(_field(item, "License") or "").split("\n")[0][:120]]
    return DisjunctiveLicense(name=stated[0]) if stated[0] else None


def _component(name: str, item: Distribution, hashes: Iterable[str]) -> Component:
    kind = ComponentType.APPLICATION if name == PRODUCT else ComponentType.LIBRARY
    purl = PackageURL("pypi", None, name, item.version)
    license_ = _license(item)
    return Component(
        name=name,
        version=item.version,
        type=kind,
        bom_ref=purl.to_string(),
        purl=purl,
        description=_field(item, "Summary"),
        licenses=[license_] if license_ else [],
        # Of every file of the release, one for each platform: none is "the" hash of the component.
        properties=[Property(name=LOCKED_HASH, value=digest) for digest in sorted(hashes)],
    )


def _needs(item: Distribution) -> set[str]:
    """Names that a distribution needs here, its extras aside."""
    names: set[str] = set()
    environment = {name: str(value) for name, value in default_environment().items()}
    environment["extra"] = ""
    for text in item.requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate(environment):
            names.add(canonicalize_name(requirement.name))
    return names


def bill(items: dict[str, Distribution], lock: dict[tuple[str, str], list[str]]) -> Bom:
    """The bill of materials of these distributions."""
    components = {
        name: _component(name, item, lock.get((name, item.version), ()))
        for name, item in items.items()
    }
    named = "\n".join(sorted(f"{name}=={item.version}" for name, item in items.items()))
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, named))
    bom.metadata.timestamp = None  # type: ignore[assignment]
    bom.metadata.component = components.pop(PRODUCT, None)
    for component in components.values():
        bom.components.add(component)
    everything = dict(components)
    if bom.metadata.component is not None:
        everything[PRODUCT] = bom.metadata.component
    for name, component in everything.items():
        needed = [everything[other] for other in sorted(_needs(items[name])) if other in everything]
        bom.register_dependency(component, needed)
    return bom


def write(bom: Bom, path: Path) -> None:
    """Write it, if it is what the standard asks for.

    Raises
    ------
    ValueError
        It is not.
    """
    text = JsonV1Dot6(bom).output_as_string(indent=1)
    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ValueError(f"not CycloneDX 1.6: {fault}")
    path.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Make the bill of the environment that is named, or of the locked part of this one."""
    if len(sys.argv) not in {2, 3}:
        sys.exit(__doc__)
    lock = locked((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    items = installed(Path(sys.argv[2]) if len(sys.argv) == 3 else None)
    if len(sys.argv) == 2:
        wanted = {name for name, _ in lock} | {PRODUCT}
        items = {name: item for name, item in items.items() if name in wanted}
    write(bill(items, lock), Path(sys.argv[1]))
    print(f"{len(items)} packages in {sys.argv[1]}")


if __name__ == "__main__":
    main()
