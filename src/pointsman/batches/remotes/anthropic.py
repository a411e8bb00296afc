"""Anthropic's message batches: all requests are sent at once with the question for a batch, which has no metadata.

So a batch whose id could not be written down, because of a crash or since the answer was lost, is no ordinary thing to
find again. The rules:

1. Before it is asked, it is written down under which lease that may be done, and when. Whoever has another lease knows
   that somebody may have asked, and looks first.
2. A request that is not whole within :data:`ASK_SECONDS`, or whose lease is lost, is given up before its last bytes: a
   process that was frozen cannot ask late.
3. Whoever looks goes through the batches that were made there in that time and have as many requests. The ids of our
   requests have a mark in them: one that has ended is proved ours by its first result, or proved somebody else's.
4. While one of these is open, or something may still arrive (:data:`SETTLED_SECONDS`), nobody asks again.
5. An answer that says no has begun nothing; neither has what never reached the provider. Everything else is in doubt.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing
from typing import Any, Final
from urllib.parse import quote

from msgspec.structs import replace

from pointsman.batches.protocol.lines import LineRequest
from pointsman.batches.protocol.providers.anthropic import (
    CARRIED,
    CLOSING,
    ENDPOINT,
    MAX_BYTES,
    MAX_REQUESTS,
    OPENING,
    TRANSLATED,
    VERSION,
    Listed,
    Told,
    asked,
    got,
    is_marked,
    takes,
)
from pointsman.batches.protocol.providers.base import Got, Progress, passed
from pointsman.batches.remotes.base import FAILED_SECONDS, Order, State, Step
from pointsman.batches.remotes.http import Api, Sending
from pointsman.batches.remotes.translating import Translator
from pointsman.errors import (
    CONNECT_TIMEOUT,
    BodyTooLarge,
    UpstreamBroken,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnreachable,
)
from pointsman.pipeline.targets import Target
from pointsman.upstream.settings import Timeouts

ASK_SECONDS: Final = 900.0
"""In which the request for a batch is sent, from when it was written down that it would be."""
SETTLED_SECONDS: Final = 900.0
"""After that, when a request that has arrived is acted on, and its batch is listed."""
TIMEOUTS: Final = Timeouts(connect=10.0, first_byte=600.0, idle=60.0, total=ASK_SECONDS + 600.0)
MAX_PAGES: Final = 100
"""Of a hundred batches each, of which one may be ours."""
MAYBE: Final = frozenset({408, 409})
"""Refusals that do not say that nothing was begun."""
log = logging.getLogger(__name__)


class AnthropicRemote:
    """A :class:`~pointsman.batches.remotes.base.Remote`."""

    def __init__(self, target: Target) -> None:
        self._api = Api(target)
        self._model = target.batch_model
        self._translator = Translator(target)

    def takes(self, endpoint: str, headers: Mapping[str, str]) -> bool:
        """Betas and versions are passed on with requests of its own dialect."""
        return takes(headers) if endpoint == ENDPOINT else endpoint == TRANSLATED and not headers

    async def find(self, order: Order, progress: Progress) -> Progress:
        """Rules 3 and 4."""
        if not progress.is_in_doubt(order.fence):
            return progress
        candidates = await self._candidates(order, progress)
        is_open = candidates is None
        for one in candidates or ():
            if not one.is_over:
                is_open = True
            elif await self._is_ours(one, order):
                return replace(progress, batch=one.id)
        is_settled = order.now() >= progress.asked_at + ASK_SECONDS + SETTLED_SECONDS
        return progress.unasked() if is_settled and not is_open else progress

    async def begin(self, order: Order, progress: Progress) -> Step | None:
        """Write down that it will be asked, and then ask, under the lease that was written down."""
        if progress.asked_at:
            return await self._ask(order, progress)
        if progress.since and not order.may_wait:
            return None
        size = await self._measure(order)
        now = order.now()
        asking = replace(progress, size=size, ask=order.fence + 1, asked_at=now, since=progress.since or now)
        return Step(asking, 0.0)

    async def state(self, batch: str) -> State:
        """A batch, as it is; its results stand below it, wherever it says that they do."""
        told = await self._api.ask(b"GET", f"/batches/{quote(batch, safe='')}", None, Told)
        return State(told.is_over, (told.id,), told.problem)

    async def cancel(self, batch: str) -> None:
        """What was begun there goes on to its end."""
        await self._api.ask(b"POST", f"/batches/{quote(batch, safe='')}/cancel", {}, Told)

    async def results(self, order: Order, state: State) -> AsyncGenerator[Got]:
        """In no promised order."""
        for batch in state.results:
            async with aclosing(self._lines(batch, order)) as lines:
                async for line in lines:
                    one = got(line, order.mark, order.model)
                    if one is not None and order.endpoint == TRANSLATED:
                        one = await self._translator.got(order, one.number, one.status, one.body, one.request_id)
                    if one is not None:
                        yield one

    def _lines(self, batch: str, order: Order) -> AsyncGenerator[bytes]:
        # The answers are in the version that was asked for.
        return self._api.lines(f"/batches/{quote(batch, safe='')}/results", _headers(order, {VERSION}))

    async def _measure(self, order: Order) -> int:
        """Bytes of the body that asks for it.

        :raises CallerError: the provider would not take it
        """
        if order.total > MAX_REQUESTS:
            raise BodyTooLarge(f"A batch there has up to {MAX_REQUESTS} requests")
        size = 0
        async with aclosing(self._body(order)) as pieces:
            async for piece in pieces:
                size += len(piece)
                if size > MAX_BYTES:
                    raise BodyTooLarge(f"A batch there has up to {MAX_BYTES} bytes")
        return size

    async def _body(self, order: Order) -> AsyncGenerator[bytes]:
        lead = OPENING
        async with aclosing(order.requests()) as requests:
            async for some in requests:
                yield lead + b",".join(asked(order.mark, number, self._params(request)) for number, request in some)
                lead = b","
        yield CLOSING

    def _params(self, request: LineRequest) -> Any:
        if request.endpoint == TRANSLATED:
            return self._translator.wording.asked(request)
        return passed(request, self._model)

    async def _in_time(self, order: Order, progress: Progress) -> AsyncGenerator[bytes]:
        """Rule 2."""
        async with aclosing(self._body(order)) as pieces:
            async for piece in pieces:
                if not order.is_mine() or order.now() > progress.asked_at + ASK_SECONDS:
                    raise UpstreamBroken(operator_detail="the request for a batch took too long, and was given up")
                yield piece

    async def _ask(self, order: Order, progress: Progress) -> Step:
        """Rule 5."""
        sending = Sending(length=progress.size, headers=_headers(order, CARRIED), timeouts=TIMEOUTS)
        try:
            told = await self._api.send("/batches", self._in_time(order, progress), sending, Told)
        except UpstreamError as error:
            if _has_begun_nothing(error):
                return Step(progress.unasked(), refusal=error)
            why = error.operator_detail or error.message
            log.warning("whether the provider has begun batch %s will be seen later: %s", order.mark, why)
            return Step(progress, FAILED_SECONDS)
        return Step(replace(progress, batch=told.id))

    async def _candidates(self, order: Order, progress: Progress) -> list[Told] | None:
        """Those that may be ours; ``None``: too many were made since for anybody to know."""
        since, until = progress.asked_at, progress.asked_at + ASK_SECONDS + SETTLED_SECONDS
        found: list[Told] = []
        after = ""
        for _ in range(MAX_PAGES):
            listed = await self._api.ask(b"GET", f"/batches?limit=100{after}", None, Listed)
            made = [one for one in listed.data if one.was_made(since, until)]
            found += [one for one in made if one.request_counts.total == order.total]
            if not (listed.has_more and listed.data) or listed.data[-1].is_older(since):
                return found
            after = f"&after_id={quote(listed.data[-1].id, safe='')}"
        return None

    async def _is_ours(self, one: Told, order: Order) -> bool:
        async with aclosing(self._lines(one.id, order)) as lines:
            async for line in lines:
                return is_marked(line, order.mark)
        return False


def _headers(order: Order, names: Collection[str]) -> dict[bytes, bytes]:
    return {name.encode(): order.headers[name].encode("latin-1") for name in names if name in order.headers}


def _has_begun_nothing(error: UpstreamError) -> bool:
    if isinstance(error, UpstreamRejected):
        return 400 <= error.status < 500 and error.status not in MAYBE
    return isinstance(error, UpstreamUnreachable) or error.code == CONNECT_TIMEOUT
