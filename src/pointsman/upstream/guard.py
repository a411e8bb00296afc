"""Which addresses may be called that somebody else has named.

An address that a client of the gateway gives could be one that only the gateway can reach. So it is checked twice: as
it is written, for an early and clear refusal, and when its name was resolved, where it counts: the connection goes to
the address that was checked, so that a name cannot mean one thing for the check and another for the connection.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from pointsman.upstream.resolving import Address, Resolver
from pointsman.upstream.routes import parse_origin

Network = IPv4Network | IPv6Network

REFUSED: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "100.64.0.0/10",  # shared by carriers (RFC 6598)
        "192.0.0.0/24",
        "192.88.99.0/24",  # relays to 6to4
        "198.18.0.0/15",
        "::/96",  # IPv4 in IPv6, of four kinds: compatible, mapped, translated, and by 6to4, Teredo and NAT64
        "::ffff:0:0/96",
        "::ffff:0:0:0/96",
        "2002::/16",
        "2001::/32",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "fec0::/10",
        "fc00::/7",
    )
)
"""Beside those that ``ipaddress`` knows to be not global, as that differs between versions of Python."""


class Guard:
    """Tells addresses of the internet from others. ``allowed`` are networks, addresses and host names."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._networks: list[Network] = []
        self._names: set[str] = set()
        for one in allowed:
            try:
                self._networks.append(ipaddress.ip_network(one.strip(), strict=False))
            except ValueError:
                self._names.add(one.strip().lower().rstrip("."))

    def check(self, url: str) -> None:
        """Check what is written.

        :raises ValueError: it is no address of http or https, holds a credential, or is one that is not public
        """
        host = parse_origin(url).host.rstrip(".")
        if self.knows(host):
            return
        if host == "localhost" or host.endswith(".localhost"):
            raise ValueError("the address is not public")
        address = _address(host)
        if address is not None and not self.admits(address):
            raise ValueError("the address is not public")

    def knows(self, host: str) -> bool:
        """Whether a host is allowed by its name, wherever it is."""
        return host.lower().rstrip(".") in self._names

    def allows(self, host: str) -> bool:
        """Whether a host is named among those that are allowed, by its name or as an address."""
        address = _address(host.rstrip("."))
        return self.knows(host) or (address is not None and any(address in network for network in self._networks))

    def admits(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether an address may be called."""
        if any(address in network for network in self._networks):
            return True
        if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
            return False
        return not any(address in network for network in REFUSED)


class GuardedResolver(Resolver):
    """A resolver that gives only addresses that may be called."""

    def __init__(self, loop: asyncio.AbstractEventLoop, guard: Guard) -> None:
        super().__init__(loop)
        self._guard = guard

    async def addresses(self, host: str, port: int) -> list[Address]:
        """See :class:`~pointsman.upstream.resolving.Resolver`. Raises ``OSError`` when there are only others, too."""
        found = await super().addresses(host, port)
        if self._guard.knows(host):
            return found
        admitted = [one for one in found if self._guard.admits(ipaddress.ip_address(one[1][0]))]
        if not admitted:
            raise OSError(errno.EACCES, "the name has no public address")
        return admitted


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """What a host stands for without being resolved; ``None``: it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        # Numbers of other bases, or fewer of them: resolvers take these as addresses.
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def check(url: str, allowed: Iterable[str] = ()) -> None:
    """Check an address as it is written; see :meth:`Guard.check`."""
    Guard(allowed).check(url)
