from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trustme

from pointsman.errors import UpstreamTimeout, UpstreamUnreachable
from pointsman.upstream.pool import Host, Pool
from pointsman.upstream.proxy import Proxy, is_local, parse_proxy, proxy_for
from pointsman.upstream.settings import Proxies, Timeouts

MakePool = Callable[..., Pool]
Serve = Callable[..., Awaitable[int]]
TIMEOUTS = Timeouts(connect=5, first_byte=5, idle=5, total=20)


def test_a_proxy_is_parsed_from_its_url() -> None:
    proxy = parse_proxy("http://user:pa%40ss@proxy.test:3128/")
    assert (proxy.host, proxy.port, proxy.is_tls) == ("proxy.test", 3128, False)
    assert proxy.lines == b"proxy-authorization: Basic dXNlcjpwYUBzcw==\r\n"
    assert parse_proxy("proxy.test:3128") == Proxy(host="proxy.test", port=3128)
    assert parse_proxy("https://proxy.test") == Proxy(host="proxy.test", port=443, is_tls=True)
    assert parse_proxy("http://proxy.test").port == 80
    assert parse_proxy("http://proxy.test").lines == b""


def test_the_credential_of_a_proxy_does_not_show() -> None:
    assert "dXNlc" not in repr(parse_proxy("http://user:pass@proxy.test"))
    with pytest.raises(ValueError, match="proxy") as caught:
        parse_proxy("socks5://user:secret@proxy.test")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("rules", "host", "port", "is_direct"),
    [
        ((), "api.test", 443, False),
        (("*",), "api.test", 443, True),
        (("api.test",), "api.test", 443, True),
        (("api.test",), "API.test.", 443, True),
        (("test",), "api.test", 443, True),
        ((".test",), "api.test", 443, True),
        (("*.test",), "api.test", 443, True),
        (("pi.test",), "api.test", 443, False),
        ((" api.test ",), "api.test", 443, True),
        (("api.test:443",), "api.test", 443, True),
        (("api.test:8443",), "api.test", 443, False),
        (("10.0.0.0/8",), "10.1.2.3", 443, True),
        (("10.0.0.0/8",), "11.1.2.3", 443, False),
        (("10.1.2.3",), "10.1.2.3", 443, True),
        (("10.1.2.3:80",), "10.1.2.3", 443, False),
        (("fd00::/8",), "fd00::1", 443, True),
        (("[fd00::1]:443",), "fd00::1", 443, True),
        (("[fd00::1]:80",), "fd00::1", 443, False),
        (("10.0.0.0/8",), "api.test", 443, False),
        (("test",), "10.1.2.3", 443, False),
        (("", "."), "api.test", 443, False),
    ],
)
def test_no_proxy_names_what_is_called_directly(rules: tuple[str, ...], host: str, port: int, is_direct: bool) -> None:
    proxies = Proxies(https="http://proxy.test:3128", no_proxy=rules)
    assert (proxy_for("https", host, port, proxies) is None) is is_direct


def test_the_scheme_of_the_target_chooses_the_proxy() -> None:
    proxies = Proxies(http="http://plain.test:1", https="http://secure.test:2")
    assert proxy_for("http", "api.test", 80, proxies) == Proxy(host="plain.test", port=1)
    assert proxy_for("https", "api.test", 443, proxies) == Proxy(host="secure.test", port=2)
    assert proxy_for("http", "api.test", 80, Proxies()) is None


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "0.0.0.0"]
)
def test_this_machine_is_never_called_by_a_proxy(host: str) -> None:
    assert is_local(host)
    assert proxy_for("http", host, 80, Proxies(http="http://proxy.test:1")) is None


def test_other_machines_are_not_this_one() -> None:
    assert not any(is_local(host) for host in ("api.test", "10.0.0.1", "localhost.test", "fd00::1"))


class Tunnel:
    """A proxy that knows CONNECT and leads every tunnel to ``port``."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.heads: list[bytes] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n")
            await asyncio.gather(pipe(reader, far_writer), pipe(far_reader, writer))
        finally:
            far_writer.close()


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


class Secured:
    """Server and client sides of TLS for ``far.test``."""

    def __init__(self) -> None:
        self.authority = trustme.CA()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("far.test", "127.0.0.1").configure_cert(self.context)


@pytest.fixture(scope="module")
def secured() -> Secured:
    return Secured()


async def ask(host: Host) -> bytes:
    head = b"POST / HTTP/1.1\r\nhost: %b\r\n" % host.host_header
    return await (await host.send(head, b"hi", timeouts=TIMEOUTS)).read(100_000)


@pytest.mark.parametrize("is_tls_to_proxy", [False, True])
async def test_a_secure_request_goes_through_a_tunnel(
    make_pool: MakePool, serve: Serve, secured: Secured, echo: Any, is_tls_to_proxy: bool
) -> None:
    tunnel = Tunnel(await serve(echo, ssl=secured.context))
    port = await serve(tunnel.handle, ssl=secured.context if is_tls_to_proxy else None)
    scheme = "https" if is_tls_to_proxy else "http"
    with secured.authority.cert_pem.tempfile() as ca_file:
        pool = make_pool(ca_file=ca_file, proxies=Proxies(https=f"{scheme}://u:p@127.0.0.1:{port}"))
        host = pool.host("https://far.test/v1")
    for _ in range(2):
        assert await ask(host) == b"POST / HTTP/1.1\r\nhost: far.test\r\ncontent-length: 2\r\n\r\nhi"
    assert tunnel.heads == [
        b"CONNECT far.test:443 HTTP/1.1\r\nhost: far.test:443\r\nproxy-authorization: Basic dTpw\r\n\r\n"
    ]
    assert host.connects_total == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 20\r\n\r\n",
        b"SSH-2.0\r\n\r\n",
        b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nearly bytes",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000,
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"",
    ],
)
async def test_a_proxy_that_opens_no_tunnel_is_unreachable(make_pool: MakePool, serve: Serve, answer: bytes) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    proxies = Proxies(https=f"http://user:secret@127.0.0.1:{await serve(refuse)}")
    host = make_pool(proxies=proxies).host("https://far.test")
    with pytest.raises(UpstreamUnreachable) as caught:
        await ask(host)
    assert "secret" not in str(caught.value.operator_detail)
    assert host.open_connections == 0


async def test_a_proxy_that_is_silent_times_out(make_pool: MakePool, serve: Serve) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    host = make_pool(proxies=Proxies(https=f"http://127.0.0.1:{await serve(silent)}")).host("https://far.test")
    with pytest.raises(UpstreamTimeout):
        await host.send(b"GET / HTTP/1.1\r\n", b"", timeouts=Timeouts(connect=0.05))
    assert host.open_connections == 0
