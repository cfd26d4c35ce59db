"""SQS- and S3-compatible servers for load and faults, where moto would be measured instead.

`make servers` installs them, each into an environment of its own, since what they need does not
fit with what the worker needs. Both listen on loopback alone.
"""

from __future__ import annotations

import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.child_process import ChildError, ChildProcess, NotInstalledError

ROOT: Final = Path(__file__).resolve().parent.parent
START_TIMEOUT_S: Final = 90.0
_POLL_S: Final = 0.1


@dataclass(frozen=True)
class LocalServer:
    """How one kind of server is started."""

    name: str
    venv: Path
    host: str
    health_path: str

    @property
    def is_installed(self) -> bool:
        """Whether `make servers` has been run."""
        return (self.venv / "bin" / "python").exists()

    def command(self) -> list[str]:
        """The program and its arguments."""
        if self.name == "localstack":
            return [str(self.venv / "bin" / "python"), "-m", "localstack.runtime.main"]
        return [str(self.venv / "bin" / "ministack")]

    def variables(self, port: int, folder: Path) -> dict[str, str]:
        """Settings: SQS and S3 alone, no telemetry, no download, loopback only."""
        if self.name == "localstack":
            return {
                "SERVICES": "sqs,s3",
                "DISABLE_EVENTS": "1",
                "SKIP_SSL_CERT_DOWNLOAD": "1",
                "DNS_ADDRESS": "0",
                "SQS_ENDPOINT_STRATEGY": "path",
                "LS_LOG": "warning",
                # An IPv4 address here would be taken for all interfaces.
                "GATEWAY_LISTEN": f"{self.host}:{port}",
                "FILESYSTEM_ROOT": str(folder),
            }
        return {
            "GATEWAY_PORT": str(port),
            "BIND_HOST": self.host,
            "SERVICES": "sqs,s3",
            "SFTP_ENABLED": "0",
            "LOG_LEVEL": "WARNING",
        }


SERVERS: Final = {
    "localstack": LocalServer(
        "localstack", ROOT / ".venv-localstack", "[::1]", "/_localstack/health"
    ),
    "ministack": LocalServer("ministack", ROOT / ".venv-ministack", "127.0.0.1", "/"),
}


@contextmanager
def running(name: str, folder: Path) -> Iterator[str]:
    """Start a server and give its address; it ends with the block.

    Raises
    ------
    NotInstalledError
        `make servers` has not been run.
    ChildError
        It did not answer in time.
    """
    server = SERVERS[name]
    if not server.is_installed:
        raise NotInstalledError(f"{name} is not installed: run `make servers`")
    port = _free_port(server.host)
    address = f"http://{server.host}:{port}"
    child = ChildProcess(
        name,
        server.command(),
        environment={
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(folder),
            **server.variables(port, folder),
        },
        folder=folder,
    )
    with child:
        _wait_until_up(child, address + server.health_path)
        yield address


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host.strip("[]"), 0))
        return int(probe.getsockname()[1])


def _wait_until_up(child: ChildProcess, url: str) -> None:
    give_up_at = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < give_up_at:
        if child.exit_code() is not None:
            raise ChildError(f"{child.name} ended with {child.exit_code()}.\n{child.log_tail()}")
        try:
            urllib.request.urlopen(url, timeout=2).close()  # noqa: S310  our own, on loopback
        except urllib.error.HTTPError:
            return  # it answers, if with an error
        except OSError:
            time.sleep(_POLL_S)
        else:
            return
    raise ChildError(f"{child.name} did not answer in {START_TIMEOUT_S:.0f} s.\n{child.log_tail()}")


if __name__ == "__main__":
    import signal
    import tempfile

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    chosen = sys.argv[1] if len(sys.argv) > 1 else "localstack"
    with tempfile.TemporaryDirectory() as scratch, running(chosen, Path(scratch)) as where:
        print(where, flush=True)
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)
