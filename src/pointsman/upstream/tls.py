"""TLS towards upstreams: verified, at least 1.2, HTTP/1.1 by ALPN, sessions kept for the next connection.

asyncio and uvloop make a TLS object by ``context.wrap_bio(...)`` and have no argument for a session, so the
context itself remembers one per server name and passes it on. A TLS 1.3 ticket comes after the handshake;
therefore the session is taken when the first answer is complete.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from typing import Self

MAX_SESSIONS = 1024
"""Server names whose last session is kept."""


class SessionContext(ssl.SSLContext):
    """A client context that resumes the last session of each server name."""

    _sessions: OrderedDict[str, ssl.SSLSession]

    def __new__(cls, protocol: int = ssl.PROTOCOL_TLS_CLIENT) -> Self:
        """Make a context; ``ssl.SSLContext`` is built here and not in ``__init__``."""
        self = super().__new__(cls, protocol)
        self._sessions = OrderedDict()
        return self

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Wrap as the base class does, with the session that is known for the name."""
        if session is None and isinstance(server_hostname, str):
            session = self._sessions.get(server_hostname)
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def remember(self, transport: asyncio.BaseTransport) -> None:
        """Keep the session of a connection that has been answered."""
        wrapped = transport.get_extra_info("ssl_object")
        if not isinstance(wrapped, ssl.SSLObject) or wrapped.server_hostname is None:
            return
        session = wrapped.session
        if session is None or not session.has_ticket:
            return
        self._sessions[wrapped.server_hostname] = session
        self._sessions.move_to_end(wrapped.server_hostname)
        if len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)


def client_context(*, ca_file: str | None, is_verified: bool) -> SessionContext:
    """Return a context for all upstreams.

    Raises ``OSError`` or ``ssl.SSLError`` when ``ca_file`` cannot be loaded.
    """
    context = SessionContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if not is_verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca_file is not None:
        context.load_verify_locations(ca_file)
    else:
        context.load_default_certs()
    return context


def has_closed_properly(transport: asyncio.BaseTransport) -> bool:
    """Whether the end of the stream is the peer's word: without TLS always, with TLS after its ``close_notify``.

    Anybody on the way can cut a TCP connection; a body that lasts to the end of the stream must not be cut by that
    (RFC 9112, section 9.8). asyncio reports both ends alike, so the TLS object is asked.
    """
    wrapped = transport.get_extra_info("ssl_object")
    if not isinstance(wrapped, ssl.SSLObject):
        return True
    try:
        return not wrapped.read(1)
    except ssl.SSLZeroReturnError:
        return True
    except ssl.SSLError:
        return False
