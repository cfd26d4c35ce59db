"""How a command fails: one line on standard error that says what to do, and an exit code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from worker.settings import Settings

EXIT_FAILED: Final = 1
"""What was asked for was not done, or what was looked at is not well."""

EXIT_USAGE: Final = 2
"""The command or the settings cannot be used as they are."""


class CommandError(Exception):
    """A command cannot go on; the text says why, for people."""

    def __init__(self, text: str, *, code: int = EXIT_FAILED) -> None:
        super().__init__(text)
        self.code = code


def fail(text: str, *, code: int = EXIT_FAILED) -> NoReturn:
    """Say why, and end."""
    sys.stderr.write(text.rstrip() + "\n")
    raise SystemExit(code)


def load_settings(**overrides: Any) -> Settings:
    """The settings; if they cannot be used, say which and end."""
    from worker.settings import Settings, SettingsError

    try:
        return Settings.load(**overrides)
    except SettingsError as error:
        fail(str(error), code=EXIT_USAGE)
