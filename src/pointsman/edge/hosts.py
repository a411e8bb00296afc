"""By which names the gateway is called where no key is asked for.

Without a key, a web page must not reach the gateway through the browser of whoever runs it: neither by a name of its
own that leads here (DNS rebinding), nor from another origin.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial

from pointsman.edge.context import Serving
from pointsman.errors import CallerError, Forbidden, MisdirectedHost

LOOPBACK_HOST = re.compile(rb"(?i:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{0,5})?")
LOOPBACK_ORIGIN = re.compile(rb"(?i)https?://(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{0,5})?")
FOREIGN_CALL = partial(MisdirectedHost, "Without a master key the gateway answers no pages of other origins")
FOREIGN_PAGE = partial(Forbidden, "Without a key the gateway answers no pages of other origins")
"""The status is the one that the Model Context Protocol has for them."""
FOREIGN_HOST = "Without a key the gateway answers loopback names and {} only; show a key, or call it by one"


def check_open(serving: Serving, headers: Mapping[bytes, bytes], page: Callable[[], CallerError]) -> None:
    """Where the gateway asks nobody for a key.

    :raises MisdirectedHost: it is called by another name than a loopback one
    :raises CallerError: ``page``, where somebody's browser calls
    """
    refuse_rebinding(headers, page, is_any_host=serving.gatekeeper.is_open_on_purpose)


def check_mcp(headers: Mapping[bytes, bytes], allowed: frozenset[str]) -> None:
    """The same for a client of MCP servers that needs no key; ``allowed`` are names beside those of loopback."""
    _check(headers, allowed, "mcp.allowed_hosts")


def check_agents(serving: Serving, headers: Mapping[bytes, bytes]) -> None:
    """The same for whoever asks for agents, or for cards of them, without a key."""
    if serving.gatekeeper.is_open:
        check_open(serving, headers, FOREIGN_PAGE)
    elif serving.a2a is not None and not any(serving.gatekeeper.shown(headers)):
        _check(headers, serving.a2a.allowed_hosts, "a2a.allowed_hosts and the hosts of a2a.public_url and a2a.hosts")


def refuse_rebinding(headers: Mapping[bytes, bytes], page: Callable[[], CallerError], *, is_any_host: bool) -> None:
    """See the docstring of this module.

    :raises MisdirectedHost: ``Host`` is not a loopback name
    :raises CallerError: ``page``, where ``Origin`` is not one; where any host will do, the two differ
    """
    host = headers.get(b"host")
    origin = headers.get(b"origin")
    if is_any_host:
        if origin is not None and origin.partition(b"://")[2].lower() != (host or b"").lower():
            raise page()
        return
    if host is not None and not LOOPBACK_HOST.fullmatch(host):
        raise MisdirectedHost
    if origin is not None and not LOOPBACK_ORIGIN.fullmatch(origin):
        raise page()


def _check(headers: Mapping[bytes, bytes], allowed: frozenset[str], where: str) -> None:
    host = headers.get(b"host", b"").decode("latin-1").lower()
    # A name without a port stands for that name at any.
    is_allowed = host in allowed or host.rpartition(":")[0] in allowed
    try:
        refuse_rebinding(headers, FOREIGN_PAGE, is_any_host=is_allowed)
    except MisdirectedHost:
        raise MisdirectedHost(FOREIGN_HOST.format(where)) from None
