from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from pointsman.a2a.protocol.faults import INVALID_PARAMS
from pointsman.a2a.push import webhooks
from pointsman.a2a.push.webhooks import Webhooks, wrong_value
from pointsman.upstream.guard import Guard
from pointsman.upstream.resolving import Address
from pointsman.wire.jsonrpc import RpcError


class Names:
    """Resolves each name as it is told."""

    def __init__(self, error: OSError | None = None, *, is_slow: bool = False) -> None:
        self.asked: list[tuple[str, int]] = []
        self._error = error
        self._is_slow = is_slow

    async def addresses(self, host: str, port: int) -> list[Address]:
        self.asked.append((host, port))
        if self._is_slow:
            await asyncio.Event().wait()
        if self._error is not None:
            raise self._error
        return [(socket.AF_INET, ("93.184.215.14", port))]


def looking(*allowed: str, names: Names | None = None) -> Webhooks:
    return Webhooks(Guard(allowed), names or Names())


@pytest.mark.requirement("a2a.webhooks")
@pytest.mark.parametrize(
    "url",
    [
        "",
        "hello",
        "ftp://a.example/x",
        "http://a.example/x",
        "https://user:password@a.example/x",
        "https://a.example/x#part",
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://2130706433/x",
        "https://0x7f.1/x",
        "https://169.254.169.254/latest",
        "https://[::1]/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://10.0.0.1/x",
        "https://a.example:0/x",
        "https://a.exam ple/x",
        "https://" + "x" * 3_000,
    ],
)
async def test_a_webhook_that_only_the_gateway_can_reach_is_refused(url: str) -> None:
    with pytest.raises(RpcError, match="webhook") as caught:
        await looking().check(url)
    assert caught.value.code == INVALID_PARAMS.code


@pytest.mark.requirement("a2a.webhooks")
async def test_a_name_that_stands_for_a_private_address_is_refused() -> None:
    names = Names(OSError(errno.EACCES, "no public address"))
    with pytest.raises(RpcError, match="public"):
        await looking(names=names).check("https://inside.example/x")
    assert names.asked == [("inside.example", 443)]


async def test_a_name_that_cannot_be_resolved_here_may_be_known_to_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    await looking(names=Names(OSError(errno.ENOENT, "no such name"))).check("https://a.example/x")
    monkeypatch.setattr(webhooks, "RESOLVING_SECONDS", 0.0)
    await looking(names=Names(is_slow=True)).check("https://a.example/x")


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("127.0.0.0/8", "http://127.0.0.1:8080/x"),
        ("10.0.0.1", "https://10.0.0.1/x"),
        ("hooks.internal", "http://hooks.internal/x"),
        ("localhost", "http://localhost:1/x"),
    ],
)
async def test_what_the_operator_allows_may_be_called(allowed: str, url: str) -> None:
    await looking(allowed).check(url)


async def test_a_public_address_may_be_called_over_tls() -> None:
    await looking().check("https://a.example:8443/hook?x=1")


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\0", "\u20ac"])
def test_what_cannot_stand_in_a_header_is_refused(value: str) -> None:
    assert wrong_value(value) is not None
    assert wrong_value("Bearer abc") is None
