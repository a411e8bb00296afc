"""One line of a batch, run as its caller's request would be."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final

import msgspec

from pointsman.access.caller import Caller
from pointsman.access.policy import Access, may_call
from pointsman.batches.protocol.lines import LineRequest, request_of
from pointsman.errors import (
    BudgetExceeded,
    Forbidden,
    GatewayError,
    InternalError,
    InvalidRequest,
    Overloaded,
    RateLimited,
    UpstreamError,
)
from pointsman.pipeline.admission import BATCH_PRIORITY
from pointsman.pipeline.call import Call
from pointsman.pipeline.inside import Collector
from pointsman.pipeline.serve import Pipeline
from pointsman.pipeline.used import Used
from pointsman.providers.dialects import anthropic, openai
from pointsman.store.work import Claimed, LineLease, Result
from pointsman.wire import operations as op
from pointsman.wire.operations import Operation
from pointsman.wire.peek import peek

SUSPECTED: Final = 3
"""Times that nothing was heard any more of those who had a line, from where on it may be what has ended them."""
MAX_LAPSES: Final = 5
"""From where on it is taken to be that."""
MAX_NUMBER: Final = 2**46
"""Of tokens, and of nano-dollars, of one line: the sum of all lines of a batch has room in 63 bits."""
TOO_LARGE: Final = "Request too large"
"""What OpenAI says of a request that is larger than what may be asked in a minute, with the status of one too many."""
NO_JSON: Final = b'"The answer is not JSON"'
OK: Final = HTTPStatus.OK.value
_RAW: Final = msgspec.json.Decoder(msgspec.Raw)
"""Looks through, and makes nothing."""
log = logging.getLogger(__name__)


class Again(msgspec.Struct, frozen=True):
    """It is to be run another time."""

    retry_after: float | None
    """Seconds; ``None``: nobody knows."""
    is_ours: bool
    """Whether this gateway had too much to do."""
    counts: bool
    """Whether there is an end to that."""
    is_money: bool
    """Whether there was too little money, some of which lines that run at the same time may hold and give back."""
    result: Result
    """What comes of it if it is not."""


class Order(msgspec.Struct, frozen=True, gc=False):
    """What is the same for all lines of a batch."""

    id: str
    headers: Mapping[bytes, bytes]
    expires_at: float
    """Seconds since 1970."""
    caller: Callable[[], Awaitable[Caller]]
    """Whose lines they are, at the moment; raises :class:`GatewayError` where he is gone or blocked."""


class Lines:
    """Runs lines, each by the pipeline that is in force when it begins."""

    def __init__(self, pipeline: Callable[[], Pipeline], now: Callable[[], float]) -> None:
        """``now`` is seconds since 1970."""
        self._pipeline = pipeline
        self._now = now

    async def run(self, order: Order, line: Claimed, data: bytes, used: Used) -> Result | Again:
        """What comes of the line that reads ``data``; what it uses is added to ``used``."""
        operation: Operation = op.CHAT
        request_id = name_of(line)
        if line.lapses >= MAX_LAPSES:
            error: GatewayError = InternalError("This request was begun several times, and none of them came to an end")
            return _failed(line, operation, request_id, error)
        try:
            request = request_of(data)
            operation = request.operation
            caller = await order.caller()
            if not may_call(caller, Access.MODELS, request.endpoint):
                raise Forbidden(f"This key may not call {request.endpoint}")  # noqa: TRY301  refused as others are
            _check(request)
            return await self._serve(order, line, request, caller, used)
        except GatewayError as failure:
            error = failure
            error.__traceback__ = None
        except Exception as failure:
            log.exception("line %d of batch %s failed", line.lease.number, line.lease.batch)
            error = InternalError(operator_detail=type(failure).__name__)
        return self._refused(order, error, _failed(line, operation, request_id, error))

    async def _serve(self, order: Order, line: Claimed, request: LineRequest, caller: Caller, used: Used) -> Result:
        pipeline, collector, name = self._pipeline(), Collector(), name_of(line)
        call = Call(
            request.operation,
            collector,
            order.headers,
            b"x-request-id: %b\r\n" % name.encode(),
            pipeline.clock(),
            caller.is_master,
            caller.name,
        )
        call.caller, call.priority, call.used = caller, BATCH_PRIORITY, used
        await pipeline.serve(call, request.body)
        return _result(line, collector.status, name, _one_line(collector.body))

    def _refused(self, order: Order, error: GatewayError, result: Result) -> Result | Again:
        """Whether a line that has failed is to be tried again."""
        retry_after, is_money = error.retry_after, isinstance(error, BudgetExceeded)
        if is_money and (retry_after is None or self._now() + retry_after >= order.expires_at):
            # There is no new money before the end.
            retry_after = None
        # A limit that does not say when it lets somebody through lets nobody through at any time.
        is_rate = isinstance(error, RateLimited) and retry_after is not None
        is_limit = is_money or is_rate or isinstance(error, Overloaded)
        is_throttled = isinstance(error, UpstreamError) and error.status == HTTPStatus.TOO_MANY_REQUESTS
        if is_throttled and TOO_LARGE in error.message:
            return result
        if not (is_limit or is_throttled or (isinstance(error, UpstreamError) and error.is_retryable)):
            return result
        return Again(
            retry_after,
            is_ours=isinstance(error, Overloaded) and error.code == Overloaded.code,
            counts=not (is_limit or is_throttled),
            is_money=is_money,
            result=result,
        )


def name_of(line: Claimed) -> str:
    """The id of the request that a line is run by: in the ledger, and in what is told of it."""
    return f"{line.lease.batch}-{line.lease.number}-{line.lease.fence}"


def broken(line: Claimed) -> Result:
    """What comes of a line that nobody can read any more."""
    error = InvalidRequest("The input file of this batch was deleted", code="file_not_found")
    return _failed(line, op.CHAT, name_of(line), error)


def summed(result: Result, used: Used) -> Result:
    """With what its line has used and cost."""
    return msgspec.structs.replace(
        result, **{name: min(MAX_NUMBER, getattr(used, name)) for name in Used.__struct_fields__}
    )


def failed(lease: LineLease) -> Result:
    """What comes of a line whose result cannot be stored."""
    error = InternalError("The answer to this request cannot be stored")
    return Result(lease=lease, status=error.status, body=openai.error_body(error), is_failed=True)


def _check(request: LineRequest) -> None:
    """:raises InvalidRequest: its answer would be no JSON"""
    if b'"stream"' in request.body and peek(request.operation, request.body).stream:
        raise InvalidRequest("A line of a batch cannot be streamed: leave 'stream' out", param="stream")


def _failed(line: Claimed, operation: Operation, request_id: str, error: GatewayError) -> Result:
    dialect = anthropic if operation is op.MESSAGES else openai
    return _result(line, error.status, request_id, dialect.error_body(error))


def _result(line: Claimed, status: int, request_id: str, body: bytes) -> Result:
    return Result(
        lease=line.lease,
        status=status,
        body=body,
        request_id=request_id,
        is_failed=status != OK,
    )


def _one_line(body: bytes) -> bytes:
    """The same JSON without line ends, in UTF-8."""
    try:
        if not body.isascii():
            body.decode()
        _RAW.decode(body)
        return msgspec.json.format(body, indent=-1) if b"\n" in body or b"\r" in body else body
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NO_JSON
