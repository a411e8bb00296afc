from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from typing import Any

import pytest

from pointsman.upstream.guard import Guard, GuardedResolver, check

PRIVATE = (
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.9.9.9",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.192",
    "192.168.1.1",
    "192.88.99.1",
    "198.18.0.1",
    "203.0.113.1",
    "224.0.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:10.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "fc00::1",
    "fd12::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
)
PUBLIC = ("8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001::1")


def url(host: str) -> str:
    return f"https://[{host}]/mcp" if ":" in host else f"https://{host}/mcp"


@pytest.mark.parametrize("host", PRIVATE)
@pytest.mark.requirement("mcp.ssrf")
def test_an_address_that_is_not_public_is_refused(host: str) -> None:
    assert not Guard().admits(ipaddress.ip_address(host))
    with pytest.raises(ValueError, match="not public"):
        check(url(host))


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "0", "017700000001", "0x7f000001", "10.1", "192.168.257"]
)
@pytest.mark.requirement("mcp.ssrf")
def test_so_it_is_in_every_spelling_that_resolvers_take(host: str) -> None:
    with pytest.raises(ValueError, match="not public"):
        check(url(host))


@pytest.mark.parametrize("host", ["134744072", "0x8.8.8.8", *PUBLIC, "example.com", "localhost.example.com"])
def test_a_public_address_and_a_name_are_taken(host: str) -> None:
    check(url(host))


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "a.localhost", "localhost."])
def test_a_name_of_this_machine_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="not public"):
        check(url(host))


@pytest.mark.parametrize(
    "address",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "https://user:secret@example.com/",
        "https://user@example.com/",
        "https:///mcp",
        "https://example.com:99999/",
        "//example.com/",
        "https://exa mple.com/",
        "",
    ],
)
def test_what_is_no_address_of_http_or_holds_a_credential_is_refused(address: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  many reasons
        check(address)


def test_an_operator_allows_networks_addresses_and_names() -> None:
    allowed = ("10.1.0.0/16", "fd00::5", "Tools.Internal", "localhost")
    for host in ("10.1.9.9", "fd00::5", "tools.internal", "localhost"):
        check(url(host), allowed)
    for host in ("10.2.0.1", "fd00::6", "127.0.0.1"):
        with pytest.raises(ValueError, match="not public"):
            check(url(host), allowed)


def resolving(loop: Any, monkeypatch: pytest.MonkeyPatch, *hosts: str) -> Any:
    async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        found = []
        for one in hosts:
            family = socket.AF_INET6 if ":" in one else socket.AF_INET
            found.append((family, socket.SOCK_STREAM, 6, "", (one, port, 0, 0) if ":" in one else (one, port)))
        return found

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    return loop


class Loop:
    """A loop whose names are the test's."""

    def time(self) -> float:
        return 0.0

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().create_future()

    getaddrinfo: Callable[..., Any] = staticmethod(print)


@pytest.mark.requirement("mcp.ssrf")
def test_what_an_operator_has_named_is_told_from_what_is_public() -> None:
    guard = Guard(["10.0.0.0/8", "127.0.0.1", "Hooks.internal"])
    assert all(guard.allows(host) for host in ("10.1.2.3", "127.0.0.1", "hooks.internal.", "127.1"))
    assert not any(guard.allows(host) for host in ("10.1.2.3.example", "8.8.8.8", "11.0.0.1", "internal"))


async def test_only_public_addresses_of_a_name_are_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = resolving(Loop(), monkeypatch, "10.0.0.1", "8.8.8.8", "::1", "2606:4700::1")
    found = await GuardedResolver(loop, Guard()).addresses("rebound.test", 443)
    assert sorted(str(one[1][0]) for one in found) == ["2606:4700::1", "8.8.8.8"]


@pytest.mark.parametrize("host", ["rebound.test", "127.1", "0x7f000001", "2130706433"])
@pytest.mark.requirement("mcp.ssrf")
async def test_a_name_without_a_public_address_has_none(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    loop = resolving(Loop(), monkeypatch, "127.0.0.1")
    with pytest.raises(OSError, match="no public address"):
        await GuardedResolver(loop, Guard()).addresses(host, 443)


async def test_an_allowed_name_may_be_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = resolving(Loop(), monkeypatch, "10.0.0.1")
    resolver = GuardedResolver(loop, Guard(("tools.internal",)))
    assert len(await resolver.addresses("Tools.Internal", 443)) == 1
    with pytest.raises(OSError, match="no public address"):
        await resolver.addresses("other.internal", 443)
