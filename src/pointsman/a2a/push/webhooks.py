"""Which webhooks may be called, and what a client may say about one."""

from __future__ import annotations

import asyncio
import errno
from typing import Final, Protocol

from pointsman.a2a.protocol.faults import INVALID_PARAMS, refusal
from pointsman.access.places import wrong_header, wrong_url
from pointsman.upstream.guard import Guard
from pointsman.upstream.resolving import Address
from pointsman.upstream.routes import parse_origin
from pointsman.wire.jsonrpc import RpcError

RESOLVING_SECONDS: Final = 3.0


class Resolving(Protocol):
    """Resolves names; :class:`~pointsman.upstream.guard.GuardedResolver` gives public addresses only."""

    async def addresses(self, host: str, port: int) -> list[Address]:
        """:raises OSError: there is none, or (``EACCES``) none that may be called"""


class Webhooks:
    """Looks at webhooks before anybody calls them. ``resolver`` is a guarded one, with the same ``guard``."""

    def __init__(self, guard: Guard, resolver: Resolving) -> None:
        self._guard = guard
        self._resolver = resolver

    async def check(self, url: str) -> None:
        """Look where an address leads: to where the internet is, and over TLS unless the operator allows the host.

        What its name stands for may be another address when it is called. Who calls for the gateway looks again then;
        when the agent calls, this is all that can be done.

        :raises RpcError: it may not be called
        """
        wrong = wrong_url(url)
        if wrong is not None:
            raise refused(wrong)
        try:
            origin = parse_origin(url)
            if origin.scheme != "https" and not self._guard.allows(origin.host):
                raise refused("has to begin with https")
            self._guard.check(url)
            async with asyncio.timeout(RESOLVING_SECONDS):
                await self._resolver.addresses(origin.host, origin.port)
        except ValueError as error:
            raise refused("has to be a public address") from error
        except TimeoutError:
            # Names may take their time: whoever calls it waits for them.
            return
        except OSError as error:
            if error.errno == errno.EACCES:
                raise refused("has to be a public address") from error


def wrong_value(value: str) -> str | None:
    """What is wrong with a token or a credential, which has to stand in a header; ``None``: nothing."""
    return None if wrong_header("x-value", value) is None else "cannot stand in a header"


def refused(why: str) -> RpcError:
    """The webhook may not be called."""
    return refusal(INVALID_PARAMS, f"Invalid parameters: the 'url' of a webhook {why}")
