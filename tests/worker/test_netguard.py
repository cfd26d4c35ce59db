"""What a hostile webhook URL may try, and what an honest one may do."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.failures import ErrorCode, JobFailure
from worker.netguard import NetGuard, Target
from worker.settings import Settings

PUBLIC = "93.184.215.14"
PUBLIC_6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"

NAMES = {
    "consumer.example.com": (PUBLIC, PUBLIC_6),
    "api.example.com": (PUBLIC,),
    "xn--bcher-kva.example": (PUBLIC,),
    "localhost": ("127.0.0.1", "::1"),
    "loopback.attacker.test": ("127.0.0.1",),
    "loopback6.attacker.test": ("::1",),
    "metadata.attacker.test": ("169.254.169.254",),
    "metadata.google.internal": ("169.254.169.254",),
    "ecs.attacker.test": ("169.254.170.2",),
    "metadata6.attacker.test": ("fd00:ec2::254",),
    "ten.attacker.test": ("10.0.0.7",),
    "mixed.attacker.test": (PUBLIC, "10.0.0.7"),
    "mixed-last.attacker.test": (PUBLIC, PUBLIC_6, PUBLIC, "169.254.169.254"),
    "mixed6.attacker.test": (PUBLIC, "fe80::1"),
    "zone.attacker.test": ("fe80::1%eth0",),
    "mapped.attacker.test": ("::ffff:169.254.169.254",),
    "nat64.attacker.test": ("64:ff9b::a9fe:a9fe",),
    "zero.attacker.test": ("0.0.0.0",),
    "odd.attacker.test": ("not an address",),
    "xn--80ak6aa92e.test": ("127.0.0.1",),
    "rock-consumer": ("10.1.2.3",),
}


async def stub_resolver(host: str, port: int) -> tuple[str, ...]:
    if host not in NAMES:
        raise OSError(-2, "Name or service not known")
    return NAMES[host]


def guard(**options: object) -> NetGuard:
    return NetGuard(resolver=stub_resolver, **options)  # type: ignore[arg-type]


async def passage(url: str, gate: NetGuard) -> Target:
    target = gate.target(url)
    await gate.addresses(target.host, target.port)
    return target


# Plain http is open here, so that each row is refused for the reason that stands beside it.
HOSTILE = [
    # --- the scheme and the shape
    ("file:///etc/passwd", "scheme"),
    ("ftp://consumer.example.com/x", "scheme"),
    ("gopher://127.0.0.1:6379/_FLUSHALL", "scheme"),
    ("unix:///var/run/docker.sock", "scheme"),
    ("javascript:alert(1)", "no absolute URL"),
    ("//consumer.example.com/x", "no absolute URL"),
    ("consumer.example.com/x", "no absolute URL"),
    ("https:consumer.example.com", "no absolute URL"),
    ("https:/consumer.example.com", "no absolute URL"),
    ("https:///consumer.example.com", "its host has 0 characters"),
    ("https://", "its host has 0 characters"),
    ("https://?x=http://consumer.example.com", "its host has 0 characters"),
    ("", "no absolute URL"),
    ("https://consumer.example.com/" + "a" * 5000, "characters, over"),
    (f"https://{'a' * 64}.example.com/", "cannot be read|no host name"),
    (f"https://{'a.' * 130}com/", "its host has"),
    # --- parsers that disagree
    ("https://consumer.example.com\\@169.254.169.254/", "backslash"),
    ("https://169.254.169.254\\consumer.example.com/", "backslash"),
    ("https://consumer.example.com\t.attacker.test/", "control character"),
    ("https://consumer.example.com\r\nHost: attacker.test/", "control character"),
    (" https://consumer.example.com/", "space"),
    ("https://consumer.example.com /", "space"),
    ("https://consumer.example.com\x00.attacker.test/", "control character"),
    ("https://consumer.example.com@169.254.169.254/", "user name"),
    ("https://user:password@consumer.example.com/", "user name"),
    ("https://:@consumer.example.com/", "user name"),
    ("https://consumer.example.com:443@127.0.0.1/", "user name"),
    ("https://consumer.example.com%2f@127.0.0.1/", "user name"),
    ("https://127.0.0.1%2f.example.com/", "percent"),
    ("https://consumer.example.com%00.attacker.test/", "percent"),
    ("https://[::1/", "cannot be read"),
    ("https://::1/", "cannot be read"),
    ("https://[::1].example.com/", "cannot be read"),
    ("https://[127.0.0.1]/", "cannot be read"),
    ("https://consumer.example.com:443:22/", "cannot be read"),
    ("https://consumer..example.com/", "no host name|cannot be read"),
    ("https://-.example.com/", "no host name|cannot be read"),
    ("https://consumer.example.com;.attacker.test/", "no host name"),
    ("https://consumer.example.com,attacker.test/", "no host name"),
    ("https://*.example.com/", "no host name"),
    # --- ports
    ("http://consumer.example.com:22/", "its port is 22"),
    ("http://consumer.example.com:25/", "its port is 25"),
    ("https://consumer.example.com:0/", "its port is 0"),
    ("https://consumer.example.com:1023/", "its port is 1023"),
    ("https://consumer.example.com:65536/", "port"),
    ("https://consumer.example.com:-1/", "cannot be read"),
    ("https://consumer.example.com:+443/", "cannot be read"),
    ("https://consumer.example.com:44３/", "cannot be read"),
    # --- IPv4, however it is spelled
    ("https://127.0.0.1/", "loopback"),
    ("https://127.255.255.254/", "loopback"),
    ("http://169.254.169.254/latest/meta-data/", "metadata"),
    ("http://169.254.170.2/v2/credentials/", "metadata"),
    ("http://169.254.170.23/v1/credentials", "metadata"),
    ("http://169.254.0.1/", "link-local"),
    ("http://100.100.100.200/latest/meta-data/", "metadata"),
    ("http://168.63.129.16/machine", "metadata"),
    ("http://192.0.0.192/opc/v1/", "metadata"),
    ("https://10.0.0.1/", "private"),
    ("https://172.16.0.1/", "private"),
    ("https://172.31.255.255/", "private"),
    ("https://192.168.1.1/", "private"),
    ("https://100.64.0.1/", "carrier-grade NAT"),
    ("https://0.0.0.0/", "unspecified"),
    ("https://0.1.2.3/", "unspecified"),
    ("https://198.18.0.1/", "benchmarking"),
    ("https://198.19.255.255/", "benchmarking"),
    ("https://192.0.2.1/", "documentation"),
    ("https://198.51.100.1/", "documentation"),
    ("https://203.0.113.1/", "documentation"),
    ("https://192.88.99.1/", "6to4 relay"),
    ("https://224.0.0.1/", "multicast"),
    ("https://239.255.255.250:1900/", "multicast"),
    ("https://240.0.0.1/", "reserved"),
    ("https://255.255.255.255/", "broadcast"),
    ("https://2130706433/", "is a number"),
    ("https://017700000001/", "is a number"),
    ("https://0x7f000001/", "is a number"),
    ("https://0177.0.0.1/", "is a number|cannot be read"),
    ("https://0x7f.0.0.1/", "is a number"),
    ("https://127.1/", "is a number"),
    ("https://127.0.1/", "is a number"),
    ("https://127.0.0.0x1/", "is a number"),
    ("https://127.0.0.01/", "is a number|cannot be read"),
    ("https://127.0.0.1.2/", "is a number"),
    ("https://2852039166/", "is a number"),
    ("https://425.510.425.510/", "is a number|cannot be read"),
    ("https://127.0.0.1./", "ends with a dot"),
    ("https://localhost./", "ends with a dot"),
    ("https://metadata.google.internal./", "ends with a dot"),
    ("https://１２７.０.０.１/", "cannot be read"),
    ("https://127。0。0。1/", "loopback"),
    ("https://①②⑦.⓪.⓪.①/", "cannot be read"),
    ("https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "cannot be read"),
    # --- IPv6, and IPv4 inside it
    ("https://[::1]/", "loopback"),
    ("https://[0:0:0:0:0:0:0:1]/", "loopback"),
    ("https://[::]/", "unspecified"),
    ("https://[fe80::1]/", "link-local"),
    ("https://[fe80::1%25eth0]/", "percent"),
    ("https://[fe80::1%eth0]/", "percent"),
    ("https://[fec0::1]/", "site-local"),
    ("https://[fc00::1]/", "unique local"),
    ("https://[fd12:3456:789a::1]/", "unique local"),
    ("https://[fd00:ec2::254]/", "metadata"),
    ("https://[fd00:ec2::23]/", "metadata"),
    ("https://[fd20:ce::254]/", "metadata"),
    ("https://[ff02::1]/", "multicast"),
    ("https://[::ffff:127.0.0.1]/", "IPv4-mapped"),
    ("https://[::ffff:a9fe:a9fe]/", "IPv4-mapped"),
    ("https://[::ffff:93.184.215.14]/", "IPv4-mapped"),
    ("https://[::127.0.0.1]/", "IPv4-compatible"),
    ("https://[::ffff:0:127.0.0.1]/", "IPv4-translated"),
    ("https://[64:ff9b::7f00:1]/", "NAT64"),
    ("https://[64:ff9b::169.254.169.254]/", "NAT64"),
    ("https://[64:ff9b:1::7f00:1]/", "NAT64"),
    ("https://[2002:7f00:1::]/", "6to4"),
    ("https://[2002:a9fe:a9fe::1]/", "6to4"),
    ("https://[2001:0:7f00:1::]/", "Teredo"),
    ("https://[2001:db8::1]/", "documentation"),
    ("https://[3fff::1]/", "documentation"),
    ("https://[2001:2::1]/", "IETF protocol assignments"),
    ("https://[100::1]/", "not global unicast"),
    ("https://[5f00::1]/", "not global unicast"),
    ("https://[2606:2800::5efe:10.0.0.1]/", "private"),
    ("https://[2606:2800::200:5efe:7f00:1]/", "loopback"),
    # --- names
    ("https://localhost/", "loopback"),
    ("https://LOCALHOST/", "loopback"),
    ("https://loopback.attacker.test/", "loopback"),
    ("https://loopback6.attacker.test/", "loopback"),
    ("https://metadata.attacker.test/", "metadata"),
    ("https://metadata.google.internal/", "metadata"),
    ("https://ecs.attacker.test/", "metadata"),
    ("https://metadata6.attacker.test/", "metadata"),
    ("https://ten.attacker.test/", "private"),
    ("https://rock-consumer/", "private"),
    ("https://mixed.attacker.test/", "private"),
    ("https://mixed-last.attacker.test/", "metadata"),
    ("https://mixed6.attacker.test/", "link-local"),
    ("https://zone.attacker.test/", "link-local"),
    ("https://mapped.attacker.test/", "IPv4-mapped"),
    ("https://nat64.attacker.test/", "NAT64"),
    ("https://zero.attacker.test/", "unspecified"),
    ("https://odd.attacker.test/", "unreadable"),
    ("https://xn--80ak6aa92e.test/", "loopback"),
    ("https://xn--/", "no host name|cannot be read"),
]

NEVER = [
    "http://169.254.169.254/",
    "http://169.254.170.2/",
    "http://169.254.1.1/",
    "https://[fe80::1]/",
    "https://[fd00:ec2::254]/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "https://[::ffff:169.254.169.254]/",
    "https://[64:ff9b::169.254.169.254]/",
    "https://[2002:a9fe:a9fe::1]/",
    "https://[2001:0:a9fe:a9fe::]/",
    "https://[2606:2800::5efe:169.254.169.254]/",
    "https://metadata.attacker.test/",
    "https://zone.attacker.test/",
    "https://0.0.0.0/",
    "https://[::]/",
    "https://224.0.0.1/",
    "https://[ff02::1]/",
    "https://255.255.255.255/",
]


@pytest.mark.parametrize(("url", "reason"), HOSTILE, ids=[repr(url)[:60] for url, _ in HOSTILE])
async def test_a_hostile_url_is_refused_for_its_own_reason(url: str, reason: str) -> None:
    with pytest.raises(JobFailure, match=reason) as raised:
        await passage(url, guard(allow_http=True))
    assert raised.value.code is ErrorCode.URL_REFUSED


def test_the_table_of_hostile_urls_has_no_repeats_and_is_long() -> None:
    assert len({url for url, _ in HOSTILE}) == len(HOSTILE) > 60


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://consumer.example.com/hooks", "consumer.example.com:443"),
        ("HTTPS://Consumer.Example.COM/Hooks?token=1#part", "consumer.example.com:443"),
        ("https://consumer.example.com:8443/hooks", "consumer.example.com:8443"),
        ("https://consumer.example.com:80/hooks", "consumer.example.com:80"),
        ("https://consumer.example.com:/hooks", "consumer.example.com:443"),
        ("https://bücher.example/", "xn--bcher-kva.example:443"),
        (f"https://{PUBLIC}/", f"{PUBLIC}:443"),
        (f"https://[{PUBLIC_6}]/", f"[{PUBLIC_6}]:443"),
        ("https://consumer.example.com/한국%20어", "consumer.example.com:443"),
        ("https://consumer.example.com/a@b:c", "consumer.example.com:443"),
    ],
)
async def test_an_honest_url_passes(url: str, origin: str) -> None:
    assert (await passage(url, guard())).origin == origin


@pytest.mark.parametrize("url", NEVER)
async def test_metadata_and_link_local_stay_shut_whatever_is_set(url: str) -> None:
    wide_open = guard(
        allow_http=True,
        allow_private=True,
        allowed_networks=[ip_network("0.0.0.0/0"), ip_network("::/0")],
    )
    with pytest.raises(JobFailure) as raised:
        await passage(url, wide_open)
    assert raised.value.code is ErrorCode.URL_REFUSED


def embedded(prefix: str, address: str, suffix: int = 0) -> IPv6Address:
    """An IPv4 address behind a translator's prefix (RFC 6052, section 2.2)."""
    network, value = IPv6Network(prefix), int(IPv4Address(address))
    bits = {
        48: value >> 16 << 64 | (value & 0xFFFF) << 40,
        56: value >> 24 << 64 | (value & 0xFFFFFF) << 32,
        64: value << 24,
        96: value,
    }[network.prefixlen]
    return IPv6Address(int(network.network_address) | bits | suffix)


TRANSLATORS = [
    "64:ff9b:1::/48",
    "64:ff9b:1:100::/56",
    "64:ff9b:1:1::/64",
    "64:ff9b:1::/96",
    "64:ff9b:1:fffe::/96",
]


@pytest.mark.parametrize("prefix", TRANSLATORS)
@pytest.mark.parametrize("suffix", [0, 0x808])
@pytest.mark.parametrize("target", ["169.254.169.254", "169.254.170.2", "100.100.100.200"])
def test_no_translator_of_one_s_own_leads_to_metadata(
    prefix: str, suffix: int, target: str
) -> None:
    address = embedded(prefix, target, 0 if prefix.endswith("/96") else suffix)
    for opened in ("64:ff9b:1::/48", prefix):
        objection = guard(allowed_networks=[ip_network(opened)]).objection(address)
        assert objection is not None
        assert "nothing opens it" in objection


def test_what_follows_the_address_for_a_translator_hides_nothing() -> None:
    opened = guard(allowed_networks=[ip_network("64:ff9b:1::/48")])
    address = IPv6Address("64:ff9b:1:a9fe:a9:fe00:808:808")  # 8.8.8.8 by its last bits
    assert "metadata" in str(opened.objection(address))


@pytest.mark.parametrize("prefix", TRANSLATORS)
def test_the_very_prefix_of_a_translator_leads_to_what_is_public(prefix: str) -> None:
    opened = guard(allowed_networks=[ip_network(prefix)])
    for target in (PUBLIC, "8.8.4.4"):
        assert opened.objection(embedded(prefix, target)) is None
    assert "private" in str(opened.objection(embedded(prefix, "10.0.0.1")))


async def test_plain_http_needs_leave() -> None:
    with pytest.raises(JobFailure, match="WORKER_WEBHOOK_ALLOW_HTTP"):
        guard().target("http://consumer.example.com/")
    await passage("http://consumer.example.com/", guard(allow_http=True))
    await passage("http://consumer.example.com/", guard(allow_private=True))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/",
        "http://localhost:8000/",
        "http://[::1]:8000/",
        "http://rock-consumer:8000/",
        "https://192.168.0.10/",
        "https://[fd12::1]/",
        "https://100.64.1.1/",
    ],
)
async def test_private_networks_are_open_for_local_work(url: str) -> None:
    await passage(url, guard(allow_private=True))


@pytest.mark.parametrize(
    "url",
    ["https://198.18.0.1/", "https://[64:ff9b::5db8:d70e]/", "https://[::ffff:127.0.0.1]/"],
)
async def test_leave_for_private_networks_opens_no_stranger_ones(url: str) -> None:
    with pytest.raises(JobFailure, match="WORKER_WEBHOOK_ALLOWED_NETWORKS would open it"):
        await passage(url, guard(allow_private=True))


async def test_an_allowed_network_opens_that_network_alone() -> None:
    gate = guard(allowed_networks=[ip_network("10.0.0.0/16")])
    await passage("https://ten.attacker.test/", gate)
    for url in ("https://10.1.0.1/", "https://192.168.0.1/", "https://127.0.0.1/"):
        with pytest.raises(JobFailure, match="would open it"):
            await passage(url, gate)


async def test_what_a_translated_address_carries_is_checked_when_the_form_is_opened() -> None:
    gate = guard(allowed_networks=[ip_network("64:ff9b::/96")])
    await passage("https://[64:ff9b::93.184.215.14]/", gate)
    for inside in ("10.0.0.1", "127.0.0.1", "169.254.169.254"):
        with pytest.raises(JobFailure) as raised:
            await passage(f"https://[64:ff9b::{inside}]/", gate)
        assert raised.value.code is ErrorCode.URL_REFUSED


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        ("api.example.com", True),
        ("API.EXAMPLE.COM", True),
        ("consumer.example.com", True),
        ("example.com", False),
        ("notexample.com", False),
        ("evil-example.com", False),
        ("xn--bcher-kva.example", True),
        ("bücher.example", True),
        (PUBLIC, False),
        ("api.example.com.attacker.test", False),
    ],
)
def test_allowed_hosts_are_exact_names_or_suffixes(host: str, is_allowed: bool) -> None:
    gate = guard(allowed_hosts=(".Example.com", "bücher.example"))
    if is_allowed:
        gate.target(f"https://{host}/")
    else:
        with pytest.raises(JobFailure, match="WORKER_WEBHOOK_ALLOWED_HOSTS"):
            gate.target(f"https://{host}/")


async def test_an_allowed_name_opens_no_private_address() -> None:
    gate = guard(allowed_hosts=(".attacker.test",))
    with pytest.raises(JobFailure, match="private"):
        await passage("https://ten.attacker.test/", gate)


async def test_a_name_that_does_not_resolve_may_come_back() -> None:
    with pytest.raises(JobFailure, match="could not be resolved") as raised:
        await passage("https://nowhere.example.com/", guard())
    assert raised.value.code is ErrorCode.WEBHOOK_UNAVAILABLE


async def test_a_name_without_addresses_may_come_back() -> None:
    async def empty(host: str, port: int) -> tuple[str, ...]:
        return ()

    with pytest.raises(JobFailure) as raised:
        await NetGuard(resolver=empty).addresses("consumer.example.com", 443)
    assert raised.value.code is ErrorCode.WEBHOOK_UNAVAILABLE


async def test_an_address_needs_no_look_up() -> None:
    async def never(host: str, port: int) -> tuple[str, ...]:
        raise AssertionError(f"{host} was looked up")

    found = await NetGuard(resolver=never).addresses(PUBLIC, 443)
    assert found == (ip_address(PUBLIC),)


async def test_addresses_keep_the_order_in_which_to_dial_them() -> None:
    found = await guard().addresses("consumer.example.com", 443)
    assert [str(address) for address in found] == [PUBLIC, PUBLIC_6]


def test_a_refusal_shows_neither_path_nor_query_nor_password() -> None:
    for url in (
        "https://user:hunter2@consumer.example.com/path?token=hunter2",
        "http://consumer.example.com/hunter2",
        "https://consumer.example.com:22/hunter2?token=hunter2",
        "https://hunter2.example.com%00/",
    ):
        with pytest.raises(JobFailure) as raised:
            guard().target(url)
        assert "hunter2" not in str(raised.value)


def test_the_guard_reads_its_settings() -> None:
    gate = NetGuard.from_settings(
        Settings(
            queue_url="https://sqs.test/q",
            webhook_allowed_hosts="api.example.com,.internal.example",
            webhook_allowed_networks="10.2.0.0/16,fd12::/16",
            _env_file=None,
        )
    )
    gate.target("https://api.example.com/")
    gate.target("https://a.internal.example/")
    with pytest.raises(JobFailure, match="ALLOWED_HOSTS"):
        gate.target("https://elsewhere.example/")
    assert gate.objection(ip_address("10.2.3.4")) is None
    assert gate.objection(ip_address("fd12::1")) is None
    assert gate.objection(ip_address("10.3.3.4")) is not None


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_that_python_calls_special_is_open(address: IPv4Address) -> None:
    if not address.is_global or address.is_multicast:
        assert guard().objection(address) is not None


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_that_python_calls_special_is_open(address: IPv6Address) -> None:
    if not address.is_global or address.is_multicast:
        assert guard().objection(address) is not None


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_inside_6to4_or_nat64_is_never_better_off(
    inner: IPv4Address,
) -> None:
    gate = guard(allowed_networks=[ip_network("64:ff9b::/96"), ip_network("2002::/16")])
    if gate.objection(inner) is not None:
        nat64 = IPv6Address(int(IPv6Address("64:ff9b::")) | int(inner))
        sixtofour = IPv6Address((0x2002 << 112) | (int(inner) << 80) | 1)
        assert gate.objection(nat64) is not None
        assert gate.objection(sixtofour) is not None


@given(st.text(max_size=80), st.sampled_from(["https://", "http://", "", "https://[", "HTTPS://"]))
def test_no_text_makes_the_guard_raise_anything_but_its_refusal(text: str, start: str) -> None:
    try:
        target = guard().target(start + text)
    except JobFailure as failure:
        assert failure.code is ErrorCode.URL_REFUSED  # noqa: PT017  it may also not be raised
    else:
        assert target.url.scheme == "https"
        assert target.host == target.url.raw_host
