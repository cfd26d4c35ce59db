"""Where an event may go: the form of a webhook URL, and the addresses behind its name.

A webhook URL comes out of a message, so whoever can send one could make the worker knock on doors
inside its network (server-side request forgery). Two gates stand against it: `NetGuard.target`
reads the URL, and `NetGuard.addresses` resolves its host once and checks every answer. The dialler
(worker/connections.py) connects to those very addresses, so that a name which answers differently
the next time wins nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

import httpx
import yarl

from worker.contract import MAX_URL_CHARS
from worker.failures import ErrorCode, JobFailure
from worker.resolver import Resolver, SystemResolver
from worker.settings import Settings
from worker.transition import carried

REMEMBERED: Final = 1024
"""URLs and addresses whose reading is kept: jobs share their consumers and ask for each several
times."""

MAX_HOST_CHARS: Final = 253
"""The longest host name (RFC 1035, section 2.3.4, less the trailing dot)."""

WELL_KNOWN_PORTS: Final = frozenset({80, 443})
FIRST_UNPRIVILEGED_PORT: Final = 1024
LAST_PORT: Final = 65535
DEFAULT_PORTS: Final = {"http": 80, "https": 443}

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class OpenedBy(Enum):
    """What an operator may set to reach a network that is shut by default."""

    NOTHING = "nothing"
    NETWORKS = "WORKER_WEBHOOK_ALLOWED_NETWORKS"
    PRIVATE = "WORKER_WEBHOOK_ALLOWED_NETWORKS or WORKER_WEBHOOK_ALLOW_PRIVATE"


@dataclass(frozen=True)
class Shut:
    """One network that no event goes to, and what opens it."""

    network: Network
    name: str
    opened_by: OpenedBy


def _shut(opened_by: OpenedBy, name: str, *networks: str) -> tuple[Shut, ...]:
    return tuple(Shut(ip_network(network), name, opened_by) for network in networks)


# The first match decides. Sources: the IANA special-purpose address registries for IPv4 and IPv6
# (RFC 6890 and its updates), the cloud providers' metadata addresses.
SHUT_NETWORKS: Final[tuple[Shut, ...]] = (
    # Instance metadata hands out the credentials of the worker's role: never.
    *_shut(
        OpenedBy.NOTHING,
        "a cloud metadata address",
        "169.254.169.254/32",  # EC2 (also GCP and Azure)
        "169.254.170.2/32",  # ECS task credentials
        "169.254.170.23/32",  # EKS Pod Identity
        "fd00:ec2::/32",  # EC2 and EKS over IPv6
        "100.100.100.200/32",  # Alibaba Cloud, inside the CGNAT range
        "192.0.0.192/32",  # Oracle Cloud
        "168.63.129.16/32",  # Azure's wire server, an address that looks public
        "fd20:ce::254/128",  # GCP over IPv6
    ),
    *_shut(OpenedBy.NOTHING, "link-local", "169.254.0.0/16", "fe80::/10"),
    *_shut(OpenedBy.NOTHING, "unspecified or this network", "0.0.0.0/8", "::/128"),
    *_shut(OpenedBy.NOTHING, "multicast", "224.0.0.0/4", "ff00::/8"),
    *_shut(OpenedBy.NOTHING, "reserved or broadcast", "240.0.0.0/4"),
    *_shut(OpenedBy.PRIVATE, "loopback", "127.0.0.0/8", "::1/128"),
    *_shut(OpenedBy.PRIVATE, "private", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    *_shut(OpenedBy.PRIVATE, "carrier-grade NAT", "100.64.0.0/10"),
    *_shut(OpenedBy.PRIVATE, "unique local", "fc00::/7"),
    *_shut(OpenedBy.PRIVATE, "site-local", "fec0::/10"),
    *_shut(OpenedBy.NETWORKS, "IETF protocol assignments", "192.0.0.0/24"),
    *_shut(OpenedBy.NETWORKS, "a 6to4 relay", "192.88.99.0/24"),
    *_shut(OpenedBy.NETWORKS, "benchmarking", "198.18.0.0/15"),
    *_shut(
        OpenedBy.NETWORKS,
        "documentation",
        "192.0.2.0/24",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "2001:db8::/32",
        "3fff::/20",
    ),
    # Forms that carry an IPv4 address to a translator: opened one by one, and then the IPv4
    # address inside is checked as well.
    *_shut(OpenedBy.NETWORKS, "IPv4-mapped", "::ffff:0:0/96"),
    *_shut(OpenedBy.NETWORKS, "IPv4-translated", "::ffff:0:0:0/96"),
    *_shut(OpenedBy.NETWORKS, "IPv4-compatible", "::/96"),
    *_shut(OpenedBy.NETWORKS, "NAT64", "64:ff9b::/96", "64:ff9b:1::/48"),
    *_shut(OpenedBy.NETWORKS, "6to4", "2002::/16"),
    *_shut(OpenedBy.NETWORKS, "Teredo", "2001::/32"),
    *_shut(OpenedBy.NETWORKS, "IETF protocol assignments", "2001::/23"),
    # Everything outside 2000::/3, which is all that is given out as global unicast.
    *_shut(OpenedBy.NETWORKS, "not global unicast", "::/3", "4000::/2", "8000::/1"),
)

_BY_VERSION: Final = {
    version: tuple(shut for shut in SHUT_NETWORKS if shut.network.version == version)
    for version in (4, 6)
}
# Checked before any parser sees the URL: two parsers that disagree about these are how a guard
# that looks at one host lets a client dial another.
_UNSAFE_IN_URL: Final = re.compile(r"[\x00-\x20\x7f\\]")
_AUTHORITY: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)")
_PORT: Final = re.compile(r"^[^:]*(?::[0-9]*)?$|\](?::[0-9]*)?$")
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_LOOKS_NUMERIC: Final = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")


@dataclass(frozen=True)
class Target:
    """A webhook URL whose form is fine: what is dialled, and what the request asks for."""

    url: yarl.URL
    """As the HTTP client takes it, to be sent as it stands."""
    host: str
    port: int

    @property
    def origin(self) -> str:
        """`host:port`, as limits and logs name a consumer; never the path or the query."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class NetGuard:
    """Decides where an event may go.

    Parameters
    ----------
    allowed_hosts
        Exact host names, or `.suffix` for every name below it; none = any host.
    allowed_networks
        Networks opened although they are not public.
    allow_http
        Plain http as well as https.
    allow_private
        Loopback and private networks, and http.
    resolver
        Turns a host name into addresses.
    """

    def __init__(
        self,
        *,
        allowed_hosts: Sequence[str] = (),
        allowed_networks: Sequence[Network] = (),
        allow_http: bool = False,
        allow_private: bool = False,
        resolver: Resolver | None = None,
    ) -> None:
        self._hosts = tuple(_ascii_host(host) for host in allowed_hosts)
        self._networks = tuple(allowed_networks)
        self._allow_http = allow_http or allow_private
        self._allow_private = allow_private
        self._resolve = resolver or SystemResolver()
        self._target = lru_cache(maxsize=REMEMBERED)(self._read)
        self._address = lru_cache(maxsize=REMEMBERED)(self._read_address)

    @classmethod
    def from_settings(cls, settings: Settings, resolver: Resolver | None = None) -> NetGuard:
        """The guard as the operator set it."""
        return cls(
            allowed_hosts=settings.webhook_allowed_hosts,
            allowed_networks=settings.webhook_allowed_networks,
            allow_http=settings.webhook_allow_http,
            allow_private=settings.webhook_allow_private,
            resolver=resolver,
        )

    def target(self, url: str) -> Target:
        """Read a webhook URL; nothing is looked up.

        Raises
        ------
        JobFailure
            `url_refused`, naming what is wrong; never the path or the query, where tokens stand.
        """
        return self._target(url)

    def _read(self, url: str) -> Target:
        if len(url) > MAX_URL_CHARS:
            raise _refused(f"it has {len(url)} characters, over {MAX_URL_CHARS}")
        if _UNSAFE_IN_URL.search(url):
            raise _refused("it holds a space, a backslash or a control character")
        match = _AUTHORITY.match(url)
        if not match:
            raise _refused("it is no absolute URL: it begins with https://")
        scheme = match["scheme"].lower()
        if scheme not in DEFAULT_PORTS:
            raise _refused(f"its scheme is {scheme[:20]!r} and must be https")
        if scheme == "http" and not self._allow_http:
            raise _refused(
                "it is plain http: use https, or have the operator set WORKER_WEBHOOK_ALLOW_HTTP"
            )
        if "@" in match["authority"]:
            raise _refused("it holds a user name or a password")
        if "%" in match["authority"]:
            raise _refused("its host holds a percent sign (an escape or an IPv6 zone)")
        if not _PORT.search(match["authority"]):
            raise _refused("its host or port cannot be read")
        try:
            parsed = httpx.URL(url)
            host = parsed.raw_host.decode("ascii").lower()
            port = DEFAULT_PORTS[scheme] if parsed.port is None else parsed.port
        except (httpx.InvalidURL, UnicodeError, ValueError):
            raise _refused("its host or port cannot be read") from None
        _check_host(host)
        if port not in WELL_KNOWN_PORTS and not FIRST_UNPRIVILEGED_PORT <= port <= LAST_PORT:
            raise _refused(f"its port is {port}; 80, 443 and 1024–65535 may be used")
        if self._hosts and not any(_matches(host, allowed) for allowed in self._hosts):
            raise _refused(f"its host {host!r} is not among WORKER_WEBHOOK_ALLOWED_HOSTS")
        return Target(_handed_on(parsed, host, port), host, port)

    async def addresses(self, host: str, port: int) -> tuple[Address, ...]:
        """Resolve a host, once, and check every answer.

        Returns
        -------
        tuple of addresses
            At least one, in the order in which to dial them.

        Raises
        ------
        JobFailure
            `url_refused` if any answer is shut; `webhook_unavailable` if there is none, for a
            name may come back.
        """
        literal = _literal(host)
        if literal is not None:
            found: tuple[str, ...] = (str(literal),)
        else:
            try:
                found = await self._resolve(host, port)
            except OSError as error:
                reason = error.strerror or str(error) or type(error).__name__
                raise JobFailure(
                    ErrorCode.WEBHOOK_UNAVAILABLE,
                    f"The webhook's host {host!r} could not be resolved: {reason}.",
                ) from None
        if not found:
            raise JobFailure(
                ErrorCode.WEBHOOK_UNAVAILABLE, f"The webhook's host {host!r} has no address."
            )
        return tuple(self.check(text, host) for text in found)

    def check(self, text: str, host: str | None = None) -> Address:
        """Read an address, of a host if it is not one itself.

        Raises
        ------
        JobFailure
            `url_refused` if it is shut.
        """
        named = text if host is None else host
        try:
            address, objection = self._address(text)
        except ValueError:
            raise _refused(f"its host {named!r} resolves to something unreadable") from None
        if objection:
            raise _refused(f"its host {named!r} leads to {objection}")
        return address

    def _read_address(self, text: str) -> tuple[Address, str | None]:
        address = ip_address(text)
        return address, self.objection(address)

    def objection(self, address: Address) -> str | None:
        """Why nothing may be sent to an address, or None.

        An IPv6 address that carries an IPv4 address is checked as both.
        """
        for layer in (address, *carried(address, self._opened_prefix(address))):
            for shut in _BY_VERSION[layer.version]:
                if layer in shut.network:
                    if not self._is_open(layer, shut):
                        how = (
                            "nothing opens it"
                            if shut.opened_by is OpenedBy.NOTHING
                            else f"{shut.opened_by.value} would open it"
                        )
                        return f"{address} ({shut.name}; {how})"
                    break
        return None

    def _opened_prefix(self, address: Address) -> int:
        """The length of the narrowest network that was opened and holds an address; 0 for none."""
        return max(
            (
                network.prefixlen
                for network in self._networks
                if network.version == address.version and address in network
            ),
            default=0,
        )

    def _is_open(self, address: Address, shut: Shut) -> bool:
        if shut.opened_by is OpenedBy.NOTHING:
            return False
        if any(
            address.version == network.version and address in network for network in self._networks
        ):
            return True
        return shut.opened_by is OpenedBy.PRIVATE and self._allow_private


def _refused(why: str) -> JobFailure:
    return JobFailure(ErrorCode.URL_REFUSED, f"The webhook URL is refused: {why}.")


@lru_cache(maxsize=REMEMBERED)
def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _check_host(host: str) -> None:
    """Refuse host texts that resolvers and parsers read in more than one way."""
    if _literal(host) is not None:
        return
    if not host or len(host) > MAX_HOST_CHARS:
        raise _refused(f"its host has {len(host)} characters; 1 to {MAX_HOST_CHARS} may be used")
    if host.endswith("."):
        raise _refused("its host ends with a dot, which no certificate is made for")
    labels = host.split(".")
    # 127.1, 2130706433, 0177.0.0.1 and 0x7f.1 are addresses to some resolvers and names to others
    # (the WHATWG URL standard calls it "ends in a number").
    if _LOOKS_NUMERIC.fullmatch(labels[-1]):
        raise _refused(f"its host {host[:60]!r} is a number and no address in dotted-quad form")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise _refused(f"its host {host[:60]!r} is no host name")


def _handed_on(url: httpx.URL, host: str, port: int) -> yarl.URL:
    """The same URL for the HTTP client, whose parser must read the same host in it."""
    text = b"%s://%s%s" % (url.raw_scheme, url.netloc, url.raw_path)
    try:
        found = yarl.URL(text.decode("ascii"), encoded=True)
        is_same = ((found.raw_host or "").lower(), found.port) == (host, port)
    except ValueError:
        is_same = False
    if not is_same:
        raise _refused("its host or port cannot be read")
    return found


def _ascii_host(entry: str) -> str:
    """An entry of the allow-list as URLs spell it: lower case, IDNA."""
    dot, name = ("." if entry.startswith(".") else ""), entry.removeprefix(".")
    try:
        return dot + httpx.URL(scheme="https", host=name).raw_host.decode("ascii").lower()
    except (httpx.InvalidURL, UnicodeError):
        return entry.lower()


def _matches(host: str, allowed: str) -> bool:
    return host.endswith(allowed) if allowed.startswith(".") else host == allowed
