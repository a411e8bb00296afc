"""Requests whose body comes piece by piece.

Only these have a task of their own: it feeds the connection while the sender waits for the answer, because
an answer may come before the body is over (``413``), and then nobody wants the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from pointsman.errors import InternalError, UpstreamBroken
from pointsman.upstream.connection import Connection, StaleConnection
from pointsman.upstream.response import Response
from pointsman.upstream.settings import Timeouts


async def upload(
    connection: Connection,
    head: bytes,
    body: AsyncIterator[bytes],
    length: int | None,
    timeouts: Timeouts,
    total: float,
) -> Response:
    """Send head and body over ``connection`` and return the response; ``length`` as for ``Upstream.send``.

    What ``body`` raises ends the exchange and is raised here; so is
    :class:`~pointsman.errors.InternalError` when it has more or fewer bytes than ``length``.
    """
    waiter = connection.begin_upload(head, length, timeouts, total)
    pump = asyncio.create_task(_pump(connection, body, length))
    try:
        return await _answer(waiter, pump)
    except StaleConnection as error:
        # The pieces are gone, so this cannot be repeated here.
        raise UpstreamBroken(operator_detail="closed before any byte of an answer") from error
    except asyncio.CancelledError:
        connection.cancel(waiter)
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            waiter.result().abort()
        raise


async def _answer(waiter: asyncio.Future[Response], pump: asyncio.Task[None]) -> Response:
    try:
        return await waiter
    finally:
        if not pump.done():
            pump.cancel()
            await asyncio.wait((pump,))


async def _pump(connection: Connection, body: AsyncIterator[bytes], length: int | None) -> None:
    try:
        await (_pump_chunks(connection, body) if length is None else _pump_exactly(connection, body, length))
    except Exception as error:  # noqa: BLE001  a task ends here; the sender gets what the iterator raised
        connection.fail(error)
    finally:
        close = getattr(body, "aclose", None)
        if close is not None:
            await close()


async def _pump_chunks(connection: Connection, body: AsyncIterator[bytes]) -> None:
    async for piece in body:
        if not connection.is_uploading:
            return
        if piece:
            connection.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await connection.drain()
    connection.end_upload(b"0\r\n\r\n")


async def _pump_exactly(connection: Connection, body: AsyncIterator[bytes], length: int) -> None:
    left = length
    async for piece in body:
        if not connection.is_uploading:
            return
        left -= len(piece)
        if left < 0:
            raise InternalError(operator_detail="a request body is longer than its Content-Length")
        connection.write(piece)
        await connection.drain()
    if left:
        raise InternalError(operator_detail="a request body is shorter than its Content-Length")
    connection.end_upload(b"")
