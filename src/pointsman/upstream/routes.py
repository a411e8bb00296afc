"""From a base URL to where its connections go: which host, which port, with TLS, by which proxy."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import urlsplit

import msgspec

from pointsman.upstream.dialling import Route
from pointsman.upstream.proxy import proxy_for
from pointsman.upstream.settings import Proxies
from pointsman.upstream.tls import SessionContext

MAX_REMEMBERED = 4096
"""Addresses; each is asked about several times while a config is taken up."""
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.\-]*[A-Za-z0-9_.])?")


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Scheme, host and port: what connections are shared by."""

    scheme: str
    host: str
    """Lower case, ASCII; an IPv6 address without brackets."""
    port: int

    @property
    def host_header(self) -> bytes:
        """The value of ``Host``: IPv6 in brackets, the port when it is not the scheme's default."""
        host = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        is_default = self.port == _default_port(self.scheme)
        return (host if is_default else f"{host}:{self.port}").encode("ascii")


@lru_cache(maxsize=MAX_REMEMBERED)
def parse_origin(base_url: str) -> Origin:
    """Return the origin of ``base_url``; its path is the caller's.

    Raises ``ValueError`` when it is no http or https address, or holds a user name (which logs would show).
    """
    parts = urlsplit(base_url.strip())
    scheme, host = parts.scheme.lower(), parts.hostname
    if scheme not in ("http", "https") or not host:
        raise ValueError("the address must begin with http:// or https:// and name a host")
    if parts.username is not None:
        raise ValueError("the address must not hold a user name or password")
    port = _default_port(scheme) if parts.port is None else parts.port
    if port == 0:
        raise ValueError("port 0 cannot be called")
    return Origin(scheme=scheme, host=_checked_host(host), port=port)


def route_to(origin: Origin, proxies: Proxies, tls: Callable[[], SessionContext]) -> Route:
    """Return how ``origin`` is reached; ``tls`` is asked for the context when one is needed.

    Raises ``ValueError`` on a proxy that is no URL.
    """
    is_tls = origin.scheme == "https"
    proxy = proxy_for(origin.scheme, origin.host, origin.port, proxies)
    return Route(
        host=origin.host,
        port=origin.port,
        tls=tls() if is_tls else None,
        proxy=proxy,
        proxy_tls=tls() if proxy is not None and proxy.is_tls else None,
    )


def _default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80


def _checked_host(host: str) -> str:
    if ":" in host:
        ipaddress.IPv6Address(host)
        return host
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
    if not _HOST.fullmatch(host):
        raise ValueError("the address names a host that cannot exist")
    return host
