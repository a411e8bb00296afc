"""What the pipeline sees of an upstream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from pointsman.upstream.response import Response
from pointsman.upstream.settings import Timeouts


class Upstream(Protocol):
    """Whom we call: a host of the pool, or something in this process that answers like one."""

    @property
    def host_header(self) -> bytes:
        """The value of the ``Host`` line: name or address, and the port unless it is the default."""

    async def send(
        self,
        head: bytes,
        body: bytes | AsyncIterator[bytes],
        *,
        length: int | None = None,
        timeouts: Timeouts,
        deadline: float | None = None,
    ) -> Response:
        """Send one request and return its answer as soon as the final head is there.

        ``head`` is the request line and all header lines, each ended by CRLF, with ``Host`` and without the
        blank line and the framing headers (``Content-Length``, ``Transfer-Encoding``, ``Connection``). An
        iterator is sent with ``Content-Length: length``, or chunked when ``length`` is ``None``.
        ``deadline`` is when everything must be over, in ``loop.time()``; default: ``timeouts.total`` from
        now.

        Raises :class:`~pointsman.errors.UpstreamError`, :class:`~pointsman.errors.Overloaded`, or what
        ``body`` raised. The caller consumes the answer to its end or calls its ``abort``.
        """
