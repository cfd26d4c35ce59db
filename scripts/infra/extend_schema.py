"""Add what infra/ uses beyond a given provider schema to a copy of it.

Some machines cannot reach the Terraform registry and run terraform through a wrapper
(TERRAFORM_WRAPPER) that answers from a file with the provider's schema. Such a file holds only
some resource types; the rest of those that infra/ uses lie in tests/infra/, taken from the same
provider version in the same form.

    python scripts/infra/extend_schema.py BASE.json OUT.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

EXTRA: Final = Path(__file__).parents[2] / "tests" / "infra" / "provider_schema_extra.json"


def extended(base: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with the types of `extra` that it lacks.

    Raises
    ------
    ValueError
        The two are of different versions of the provider.
    """
    if base["version"] != extra["version"]:
        raise ValueError(
            f"the schema is of provider {base['version']}, the additions of {extra['version']}: "
            "take both from one version"
        )
    return {
        **base,
        **{kind: {**extra[kind], **base[kind]} for kind in ("resource", "data")},
    }


def main(base_path: str, out_path: str) -> None:
    """Read the base, add, write."""
    base = json.loads(Path(base_path).read_text(encoding="utf-8"))
    extra = json.loads(EXTRA.read_text(encoding="utf-8"))
    Path(out_path).write_text(json.dumps(extended(base, extra)), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
