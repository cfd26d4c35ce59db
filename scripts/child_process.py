"""A program run beside a script: logged to a file, waited for, and gone when the script is."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

_POLL_S: Final = 0.05
_LOG_TAIL_LINES: Final = 12


class ChildError(RuntimeError):
    """A program did not start, or ended when it should not have; with the end of its log."""


class NotInstalledError(ChildError):
    """A program is not there; the message says how to get it."""


class ChildProcess:
    """A program in a process group of its own, so that Ctrl-C reaches the script alone.

    The script then stops its children in its own order.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        stop_timeout_s: float = 10.0,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._arguments = list(arguments)
        self._environment = dict(environment)
        self._folder = folder
        self._stop_timeout_s = stop_timeout_s

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._arguments,
                env=self._environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process id, and that of its group."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    def wait_for_end(self, *, timeout_s: float) -> int:
        """Wait until it ends by itself; its exit code. Raises `ChildError`."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ChildError(
                f"{self.name} still runs after {timeout_s:.0f} s.\n{self.log_tail()}"
            ) from None

    def wait_for(self, pattern: str, *, timeout_s: float) -> re.Match[str]:
        """Wait until its log has a line that matches. Raises `ChildError`."""
        give_up_at = time.monotonic() + timeout_s
        while True:
            ended = self.exit_code() is not None
            if found := re.search(pattern, self.log.read_text(errors="replace")):
                return found
            if ended:
                raise ChildError(f"{self.name} ended with {self.exit_code()}.\n{self.log_tail()}")
            if time.monotonic() > give_up_at:
                raise ChildError(
                    f"{self.name} said no {pattern!r} in {timeout_s:.0f} s.\n{self.log_tail()}"
                )
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Ask it to end, wait, and then end its whole group, whatever is left of it."""
        if self.exit_code() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(self._stop_timeout_s)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def log_tail(self) -> str:
        """The last lines it wrote."""
        lines = self.log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        return "\n".join(lines)
