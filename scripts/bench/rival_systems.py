"""The systems that people would use instead, as their own documentation starts them."""

from __future__ import annotations

from typing import Final

from scripts.bench.systems import System

RIVALS: Final[dict[str, System]] = {}
