from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from pointsman.errors import UpstreamBroken, UpstreamUnreachable
from pointsman.upstream import tls
from pointsman.upstream.pool import Host, Pool
from pointsman.upstream.settings import Timeouts
from pointsman.upstream.tls import SessionContext, client_context

MakePool = Callable[..., Pool]
Serve = Callable[..., Awaitable[int]]
TIMEOUTS = Timeouts(connect=5, first_byte=5, idle=5, total=20)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2", "http/1.1"])
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def ca_file(authority: trustme.CA) -> Iterator[str]:
    with authority.cert_pem.tempfile() as path:
        yield path


async def ask(host: Host, body: bytes = b"hi") -> bytes:
    head = b"POST / HTTP/1.1\r\nhost: %b\r\n" % host.host_header
    return await (await host.send(head, body, timeouts=TIMEOUTS)).read(1_000_000)


class Seen:
    """A server's handler that remembers the TLS of its connections and closes each after one answer."""

    def __init__(self) -> None:
        self.tls: list[Any] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tls.append(writer.get_extra_info("ssl_object"))
        await reader.readuntil(b"\r\n\r\nhi")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_the_second_connection_resumes_the_session_of_the_first(
    make_pool: MakePool, serve: Serve, server_tls: ssl.SSLContext, ca_file: str, version: ssl.TLSVersion
) -> None:
    server_tls.maximum_version = version
    seen = Seen()
    port = await serve(seen.handle, ssl=server_tls)
    host = make_pool(ca_file=ca_file).host(f"https://localhost:{port}")
    for _ in range(3):
        assert await ask(host) == b"ok"
    assert [wrapped.session_reused for wrapped in seen.tls] == [False, True, True]
    assert {wrapped.selected_alpn_protocol() for wrapped in seen.tls} == {"http/1.1"}
    assert {wrapped.version() for wrapped in seen.tls} == {version.name.replace("_", ".")}


async def test_a_connection_carries_many_requests_and_long_ones(
    make_pool: MakePool, serve: Serve, server_tls: ssl.SSLContext, ca_file: str, echo: Any
) -> None:
    host = make_pool(ca_file=ca_file).host(f"https://127.0.0.1:{await serve(echo, ssl=server_tls)}")
    for size in (0, 100, 300_000):
        assert (await ask(host, b"x" * size)).endswith(b"\r\n\r\n" + b"x" * size)
    assert host.connects_total == 1


@pytest.mark.parametrize("case", ["unknown authority", "wrong name", "no TLS at all"])
async def test_a_peer_that_cannot_be_verified_is_not_reached(
    make_pool: MakePool,
    serve: Serve,
    server_tls: ssl.SSLContext,
    ca_file: str,
    authority: trustme.CA,
    echo: Any,
    case: str,
) -> None:
    if case == "unknown authority":
        trustme.CA().issue_cert("localhost").configure_cert(server_tls)
    elif case == "wrong name":
        authority.issue_cert("other.test").configure_cert(server_tls)

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    port = await (serve(plain) if case == "no TLS at all" else serve(echo, ssl=server_tls))
    host = make_pool(ca_file=ca_file).host(f"https://localhost:{port}")
    with pytest.raises(UpstreamUnreachable) as caught:
        await ask(host)
    assert "localhost" not in caught.value.message
    assert host.open_connections == 0


async def test_verification_can_be_switched_off(
    make_pool: MakePool, serve: Serve, server_tls: ssl.SSLContext, echo: Any
) -> None:
    host = make_pool(verify_tls=False).host(f"https://localhost:{await serve(echo, ssl=server_tls)}")
    assert (await ask(host)).endswith(b"hi")


@pytest.mark.parametrize("is_polite", [True, False])
async def test_a_body_that_lasts_to_the_end_is_whole_only_with_a_closing_alert(
    make_pool: MakePool, serve: Serve, server_tls: ssl.SSLContext, ca_file: str, is_polite: bool
) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\nhi")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await writer.drain()
        if not is_polite:
            writer.transport.abort()

    host = make_pool(ca_file=ca_file).host(f"https://localhost:{await serve(cut, ssl=server_tls)}")
    if is_polite:
        assert await ask(host) == b"hello"
    else:
        with pytest.raises(UpstreamBroken):
            await ask(host)
    assert host.open_connections == 0


async def test_cancelling_during_the_handshake_leaves_nothing(make_pool: MakePool, serve: Serve) -> None:
    arrived = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        arrived.set()
        while await reader.read(1000):
            pass
        left.set()

    left = asyncio.Event()
    host = make_pool().host(f"https://127.0.0.1:{await serve(silent)}")
    task = asyncio.ensure_future(ask(host))
    await arrived.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert host.open_connections == 0
    await asyncio.wait_for(left.wait(), 5)


def test_the_context_refuses_what_is_older_than_tls_1_2_and_verifies() -> None:
    context = client_context(ca_file=None, is_verified=True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_ca_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        client_context(ca_file=str(tmp_path / "absent.pem"), is_verified=True)


def test_what_is_no_tls_has_no_session_to_keep(transport: asyncio.Transport) -> None:
    context = SessionContext()
    context.remember(transport)
    assert not context._sessions


async def test_the_sessions_kept_are_bounded(
    make_pool: MakePool, serve: Serve, server_tls: ssl.SSLContext, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "MAX_SESSIONS", 1)
    pool = make_pool(ca_file=ca_file)
    port = await serve(Seen().handle, ssl=server_tls)
    for name in ("localhost", "127.0.0.1"):
        host = pool.host(f"https://{name}:{port}")
        await ask(host)
    context = host._route.tls
    assert isinstance(context, SessionContext)
    assert list(context._sessions) == ["127.0.0.1"]
