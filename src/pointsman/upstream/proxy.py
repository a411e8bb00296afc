"""Forward proxies: which requests go by one, and the tunnel through it (RFC 9110, section 9.3.6).

The environment's customary rules: the scheme of the target chooses the proxy, ``no_proxy`` lists
exceptions. What is on this machine is never sent to a proxy, whatever the settings say.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import msgspec

from pointsman.upstream.settings import Proxies
from pointsman.wire.secret import Secret

MAX_TUNNEL_HEAD_BYTES = 16_384

P = TypeVar("P", bound=asyncio.Protocol)


class ProxyRefused(Exception):
    """The proxy answered, and will not open the tunnel."""


class Proxy(msgspec.Struct, frozen=True, kw_only=True):
    """Where a proxy is, and what it wants to see."""

    host: str
    port: int
    is_tls: bool = False
    authorization: Secret | None = None
    """The value of ``Proxy-Authorization``."""

    @property
    def name(self) -> str:
        """``host:port``, for the operator."""
        return f"{self.host}:{self.port}"

    @property
    def lines(self) -> bytes:
        """Header lines that go to the proxy."""
        if self.authorization is None:
            return b""
        return b"proxy-authorization: %b\r\n" % self.authorization.reveal().encode("latin-1")


def parse_proxy(url: str) -> Proxy:
    """Return the proxy at ``url`` (``http://user:password@host:port``; the scheme may be left out).

    Raises ``ValueError`` on anything else. The text of the error has no credential in it.
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("a proxy is given as http://host:port or https://host:port")
    is_tls = parts.scheme == "https"
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = Secret("Basic " + base64.b64encode(pair.encode()).decode())
    port = parts.port or (443 if is_tls else 80)
    return Proxy(host=parts.hostname, port=port, is_tls=is_tls, authorization=authorization)


def proxy_for(scheme: str, host: str, port: int, proxies: Proxies) -> Proxy | None:
    """Return the proxy that requests to this target go by, or ``None``."""
    url = proxies.https if scheme == "https" else proxies.http
    if not url or is_local(host) or any(_is_match(rule, host, port) for rule in proxies.no_proxy):
        return None
    return parse_proxy(url)


def is_local(host: str) -> bool:
    """Whether ``host`` is this machine, by name or address."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address is not None and (address.is_loopback or address.is_unspecified)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_match(rule: str, host: str, port: int) -> bool:
    rule = rule.strip().lower()
    if rule == "*":
        return True
    rule_host, rule_port = _split_rule(rule)
    if rule_port is not None and rule_port != port:
        return False
    address = _address(host)
    if address is not None:
        return _holds(rule_host, address)
    suffix = rule_host.removeprefix("*").strip(".")
    name = host.lower().rstrip(".")
    return bool(suffix) and (name == suffix or name.endswith("." + suffix))


def _split_rule(rule: str) -> tuple[str, int | None]:
    # An IPv6 address has colons of its own; with a port it stands in brackets.
    if rule.startswith("["):
        host, _, rest = rule[1:].partition("]")
        port = rest.removeprefix(":")
    elif rule.count(":") == 1:
        host, _, port = rule.partition(":")
    else:
        host, port = rule, ""
    return host, int(port) if port.isdecimal() else None


def _holds(network: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


# The tunnel.


class _Connect(asyncio.Protocol):
    """Reads the proxy's answer to ``CONNECT``: a head and nothing else."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.opened: asyncio.Future[None] = loop.create_future()
        self._head = bytearray()

    def data_received(self, data: bytes) -> None:
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if end:
            self._on_head(bytes(head), has_rest=bool(rest))
        elif len(self._head) > MAX_TUNNEL_HEAD_BYTES:
            self._refuse("a head without end")

    def connection_lost(self, exc: BaseException | None) -> None:
        self._refuse("closed" if exc is None else type(exc).__name__)

    def eof_received(self) -> None:
        self._refuse("closed")

    def _on_head(self, head: bytes, *, has_rest: bool) -> None:
        status = head.split(b"\r\n", 1)[0].split(b" ")
        if len(status) < 2 or not status[0].startswith(b"HTTP/1."):
            self._refuse("not an HTTP answer")
        elif not (len(status[1]) == 3 and status[1].startswith(b"2") and status[1].isdigit()):
            self._refuse("status " + status[1][:3].decode("ascii", "replace"))
        elif has_rest:
            # With TLS the client speaks first: bytes before that are not the target's.
            self._refuse("bytes before the tunnel was used")
        elif not self.opened.done():
            self.opened.set_result(None)

    def _refuse(self, why: str) -> None:
        if not self.opened.done():
            self.opened.set_exception(ProxyRefused(why))


async def open_tunnel(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket,
    make: Callable[[], P],
    *,
    proxy: Proxy,
    proxy_tls: ssl.SSLContext | None,
    authority: str,
    tls: ssl.SSLContext,
    server_name: str,
) -> P:
    """Return ``make()`` connected to ``authority`` by a tunnel over ``sock``, which is consumed.

    Raises :class:`ProxyRefused`, ``OSError``, ``ssl.SSLError``.
    """
    try:
        outer, waiter = await loop.create_connection(
            lambda: _Connect(loop),
            sock=sock,
            ssl=proxy_tls,
            server_hostname=proxy.host if proxy_tls else None,
        )
    except BaseException:
        sock.close()
        raise
    try:
        name = authority.encode("ascii")
        outer.write(b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (name, name, proxy.lines))
        await waiter.opened
        protocol = make()
        inner = await _over(loop, outer, protocol, tls, server_name)
    except BaseException:
        outer.abort()
        raise
    # ``start_tls`` leaves this call to its caller.
    protocol.connection_made(inner)
    return protocol


async def _over(
    loop: asyncio.AbstractEventLoop,
    outer: asyncio.Transport,
    protocol: asyncio.Protocol,
    tls: ssl.SSLContext,
    server_name: str,
) -> asyncio.BaseTransport:
    inner = await loop.start_tls(outer, protocol, tls, server_hostname=server_name)
    if inner is None or inner.is_closing():
        raise ConnectionResetError("closed during the handshake")
    return inner
