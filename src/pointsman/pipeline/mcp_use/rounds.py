"""The rounds of one request: the model is asked, what it wants is called, and it is asked again.

The client's request waits here. When the client leaves, its task is cancelled, and with it the round or the tools that
go on. A round is a call of its own whose reply goes to the form, which says what of it the client gets; nothing goes
out before there is something to say, so that until then a failure is a reply of its own.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any, Final

from pointsman.errors import GatewayError, InternalError, UpstreamBroken
from pointsman.pipeline.admission import BATCH_PRIORITY
from pointsman.pipeline.call import Bill, Call
from pointsman.pipeline.downstream import Downstream
from pointsman.pipeline.inside import Collector
from pointsman.pipeline.mcp_use.forms import Form
from pointsman.pipeline.mcp_use.limits import Allowance
from pointsman.pipeline.mcp_use.offers import Done, Wanted
from pointsman.pipeline.stream import EVENT_LINES, HOLD_SECONDS
from pointsman.pipeline.usage import text_bytes
from pointsman.providers.codecs import INBOUND
from pointsman.wire.replies import Flow

OVERHEAD: Final = re.compile(rb"x-litellm-overhead-duration-ms: [^\r\n]*\r\n")
"""Of a last round it would hold all rounds before."""
ALIVE: Final = b": tools are being called\n\n"
"""A comment, for whoever cuts silent connections between here and the client."""
QUIET_SECONDS: Final = HOLD_SECONDS
"""After which it is sent."""
Ask = Callable[[Call, bytes], Awaitable[None]]
"""Has the pipeline answer a call whose body this is."""
CallTool = Callable[[Wanted, float], Awaitable[Done]]
"""Calls a tool, which may take so many seconds; never raises because of it."""


class Rounds:
    """One request with tools that the gateway calls."""

    def __init__(
        self, call: Call, form: Form, ask: Ask, call_tool: CallTool, allowance: Allowance, clock: Callable[[], float]
    ) -> None:
        self._call = call
        self._form = form
        self._ask = ask
        self._call_tool = call_tool
        self._allowance = allowance
        self._clock = clock
        self._tally = Tally(call.bill)
        self._lines = b""

    async def run(self) -> None:
        """Answer the client.

        :raises GatewayError: as long as nothing was sent to the client
        """
        try:
            await self._run()
        except GatewayError as error:
            if not self._tell(error):
                raise
        except Exception:
            self._tell(InternalError())
            raise
        finally:
            self._settle()

    def _tell(self, error: GatewayError) -> bool:
        """End the stream with an error, if the client reads one already; whether it does."""
        call = self._call
        call.note(error)
        if not call.downstream.is_started:
            return False
        call.status = error.status
        self._write(self._form.feed(INBOUND[call.operation.name].error_event(error)))
        call.downstream.finish()
        return True

    async def _run(self) -> None:
        form, is_last = self._form, False
        wanted = form.approved()
        while True:
            if wanted:
                await self._call_tools(wanted, is_last=is_last)
            if form.is_over:
                break
            is_last = self._allowance.begin()
            await self._round(form.request(is_last=is_last))
            if form.has_failed:
                self._call.downstream.finish()
                return
            wanted = form.turn()
            if is_last and wanted and not form.is_over:
                await self._call_tools(wanted, is_last=True)
                form.give_up()
                wanted = []
        self._finish(form.finish())

    async def _round(self, body: bytes) -> None:
        """Ask the model.

        :raises GatewayError: it has not answered, and the client was not told
        """
        call, tally, collector = self._call, self._tally, Collector()
        inner = Call(
            call.operation,
            Relayed(self._form, call.downstream, self._begin, self._write) if call.is_stream else collector,
            call.headers,
            call.identity,
            call.received,
            call.is_master,
            call.tenant,
            call.path_model,
        )
        # The client's request is counted by whoever has made this one.
        inner.downstream.is_settled = True
        inner.caller, inner.group, inner.is_stream, inner.is_ask = call.caller, call.group, call.is_stream, True
        inner.given_bytes = text_bytes(body)
        inner.bill, inner.priority = tally, call.priority
        if self._allowance.rounds > 1 or self._allowance.calls:
            # What was begun is not given up for want of a place: all of it would be paid for again.
            inner.priority = min(call.priority, BATCH_PRIORITY - 1)
        given = inner.asks_cost = tally.cost
        await self._ask(inner, body)
        if inner.asks_cost is not None and inner.asks_cost != given:
            # Whoever was asked which model to take.
            call.spend(inner.asks_cost - (given or 0))
        # Its downstream may be another one by now, which stands before the one that it was given.
        if not call.is_stream:
            self._lines = collector.lines
            self._form.take(collector.body)
        elif inner.failure is not None:
            self._fail(inner)

    def _fail(self, inner: Call) -> None:
        """A stream has ended in an error, which the client was told if it was told anything.

        :raises GatewayError: the client was told nothing yet
        """
        call = self._call
        error = self._tally.error or UpstreamBroken()
        if not call.downstream.is_started or not self._form.has_failed:
            raise error
        call.failure, call.is_deployments_fault, call.status = inner.failure, inner.is_deployments_fault, inner.status

    async def _call_tools(self, wanted: Sequence[Wanted], *, is_last: bool) -> None:
        """Have them called beside each other."""
        form, allowance = self._form, self._allowance
        self._write(form.calling(wanted))
        made, refused = allowance.share(wanted, is_last=is_last)
        done = await self._made(made)
        self._write(form.called([*allowance.cut(done), *refused]))

    async def _made(self, wanted: Sequence[Wanted]) -> list[Done]:
        """What has come of these calls, none of which goes on when this ends."""
        seconds = self._allowance.seconds
        calls = [asyncio.ensure_future(self._call_tool(one, seconds)) for one in wanted]
        waiting = set(calls)
        try:
            while waiting:
                ended, waiting = await asyncio.wait(waiting, timeout=QUIET_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
                for one in ended:
                    one.result()
                if waiting and self._call.downstream.is_started:
                    self._write(ALIVE)
            return [one.result() for one in calls]
        finally:
            for one in calls:
                one.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    def _begin(self, lines: bytes) -> None:
        """A round is answered; its head is the client's, if that has none yet."""
        self._lines = self._lines or lines

    def _write(self, out: bytes) -> None:
        """Let the client of a stream have this."""
        downstream = self._call.downstream
        if not out:
            return
        if not downstream.is_started:
            self._call.status = 200
            downstream.start(200, self._lines or EVENT_LINES + self._call.identity)
        downstream.write(out)

    def _finish(self, out: bytes) -> None:
        call = self._call
        if call.is_stream:
            self._write(out)
            call.downstream.finish()
            return
        call.status = 200
        lines = b"x-pointsman-mcp: rounds=%d calls=%d\r\n" % (self._allowance.rounds, self._allowance.calls)
        call.downstream.reply(200, OVERHEAD.sub(b"", self._lines) + lines, out)

    def _settle(self) -> None:
        """Count the client's request, once."""
        call, attempt = self._call, self._tally.attempt
        if attempt is None:
            return
        seconds = self._clock() - call.received
        attempt.target.meter(call.group, call.operation).observe_request(call.status, seconds, call.failure)
        call.downstream.is_settled = True


class Tally:
    """What all rounds have used."""

    def __init__(self, bill: Bill | None) -> None:
        self._bill = bill
        self.attempt: Any = None
        """The last one, a :class:`pointsman.pipeline.attempt.Attempt`."""
        self.cost: Decimal | None = None
        """US dollars, as far as they are known."""

    @property
    def error(self) -> GatewayError | None:
        """Of the last attempt."""
        error: GatewayError | None = None if self.attempt is None else self.attempt.error
        return error

    def add(self, attempt: Any, now: float) -> None:
        """An attempt has ended."""
        self.attempt = attempt
        if attempt.cost is not None:
            self.cost = attempt.cost + (self.cost or 0)
        if self._bill is not None:
            self._bill.add(attempt, now)

    def hold(self, task: asyncio.Task[Any]) -> None:
        """The call goes on although its client has left."""
        if self._bill is not None:
            self._bill.hold(task)


class Relayed:
    """The downstream of one streamed round."""

    def __init__(
        self, form: Form, outer: Downstream, begin: Callable[[bytes], None], write: Callable[[bytes], None]
    ) -> None:
        """``begin`` takes the head of the reply, ``write`` what goes to the client."""
        self._form = form
        self._outer = outer
        self._begin = begin
        self._write = write
        self._flow: Flow | None = None
        self.is_settled = False
        self.is_started = False

    def reply(self, status: int, headers: bytes, body: bytes) -> None:
        """Take a whole stream, one that was kept."""
        self.start(status, headers)
        self.write(body)
        self.finish()

    def start(self, status: int, headers: bytes, length: int | None = None) -> None:
        """Take the head of a stream."""
        del status, length
        self.is_started = True
        self._begin(headers)

    def write(self, piece: bytes) -> None:
        """Take a piece of it."""
        out, had_begun = self._form.feed(piece), self._outer.is_started
        if had_begun or not self._form.has_failed:
            self._write(out)
        if self._outer.is_started and not had_begun:
            self._outer.flow_to(self._flow)

    def finish(self) -> None:
        """It is whole."""
        self._outer.flow_to(None)

    def cut(self) -> None:
        """It will never be whole."""
        self._outer.cut()

    def flow_to(self, flow: Flow | None) -> None:
        """Who has to wait if the client reads too slowly."""
        self._flow = flow
        if self._outer.is_started:
            self._outer.flow_to(flow)
