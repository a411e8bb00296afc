"""A procedure carried out: each ask is a call of its own, what they come to is one reply to one client.

The client's request waits here. Its deadline holds for all asks, for a stream that by which it has to have begun; when
the client leaves, the task of the request is cancelled and with it every ask that is on its way. What was spent on the
way is added up in the reply, and the request is counted once, however much was asked for it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from http import HTTPStatus
from typing import Any, Protocol

import msgspec

from pointsman.errors import GatewayError, UpstreamBroken
from pointsman.pipeline.answers import JSON_LINE
from pointsman.pipeline.attempt import Attempt
from pointsman.pipeline.call import Call
from pointsman.pipeline.headers import attempt_lines, dropped_line
from pointsman.pipeline.inside import Collector, Spoken
from pointsman.pipeline.outgoing import Outgoing
from pointsman.pipeline.stream import EVENT_LINES, JSON_LINES
from pointsman.pipeline.targets import MAX_SHOWN, NOT_PLAIN
from pointsman.pipeline.translate import Shaping, Translation
from pointsman.pipeline.wants import Wants
from pointsman.providers.base import Price
from pointsman.providers.codecs import INBOUND
from pointsman.providers.costs import cost_usd
from pointsman.providers.translation import ReplyTerms
from pointsman.routing.plan import Wish
from pointsman.routing.procedures.base import (
    Answer,
    Ask,
    Asks,
    Ending,
    Plan,
    Purpose,
    Reply,
    Route,
    Step,
    Steps,
    text_of,
)
from pointsman.wire import chat
from pointsman.wire import operations as op
from pointsman.wire.callids import MAX_IDS, call_ids
from pointsman.wire.chat import ChatRequest
from pointsman.wire.finish import problem_of
from pointsman.wire.telling import events_of
from pointsman.wire.usage import Usage, estimate_tokens, total
from pointsman.wire.wishes import Fallback

OURS = Shaping(drops_all=True)
SHARE_OF_ASKS = 0.7
"""Of the time that is left, what an ask may take: the last call needs some, too."""
LEAST_PATIENCE = 0.05
"""Seconds that a last call gets in any case."""
USUAL_OUTPUT_TOKENS = 400
"""Of an answer whose length nobody bounds."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One ask, for the record."""

    purpose: str
    model: str
    deployment: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    seconds: float = 0.0
    failure: str | None = None
    """Class of the error; ``None``: it was answered."""


class Asking(Protocol):
    """What makes calls: the pipeline."""

    def clock(self) -> float: ...
    def price(self, model: str) -> Price: ...
    def deadline(self, call: Call, want: Wants) -> float: ...
    async def ask(self, call: Call, model: str, outgoing: Outgoing, want: Wants, deadline: float) -> None: ...


class Limits(msgspec.Struct, frozen=True):
    """How much a request may ask on the way."""

    asks: int
    cost_usd: float | None = None
    """What all asks may cost, the last call apart; what has no price is taken for free."""
    total_usd: float | None = None
    """What the whole may cost: a last call that may be over it is not made where there is an answer without it."""


class Stationery(msgspec.Struct, frozen=True):
    """What replies are made of that no model says."""

    strategy: str
    """Its name, as the reason for the choice of a model."""
    unique: Callable[[], str]
    wall_clock: Callable[[], float]


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What a procedure has come to."""

    served: str
    """Whose answer the client got; nobody's where it got none."""
    status: int
    usage: Usage | None
    """Of all asks."""
    cost_usd: float | None
    """The same."""
    seconds: float
    error: GatewayError | None
    problem: str
    """Why the answer is none that its reader can have wanted, if it says so itself."""
    calls: Sequence[str] = ()
    """Ids of the tool calls in it."""


class Errand:
    """One client's request, on its way through a procedure."""

    def __init__(
        self,
        asking: Asking,
        call: Call,
        want: Wants,
        request: ChatRequest,
        limits: Limits,
        stationery: Stationery,
        trace: list[Any],
    ) -> None:
        """``trace`` gets an :class:`Asked` for each ask that has ended."""
        self._asking = asking
        self._call = call
        self._want = want
        self._request = request
        self._limits = limits
        self._stationery = stationery
        self._trace = trace
        self._deadline = asking.deadline(call, want)
        patience = want.patience if call.is_stream else None
        self._begin_by = self._deadline if patience is None else min(self._deadline, call.received + patience)
        """When the client has to have got something."""
        self._made = 0
        self._cost: Decimal | None = None
        self._usages: list[Usage] = []
        self._answered: dict[tuple[str, Purpose], Attempt] = {}
        """The last attempt that has answered for a candidate, by what it was asked for."""
        self._attempt: Attempt | None = None
        """The one that tells what the client got, else the last one."""
        self._error: GatewayError | None = None
        self._problem = ""
        self._calls: list[str] = []
        self._served = ""
        self.ended: Ended | None = None
        """What came of it; ``None``: the request has gone on as it is."""

    async def run(
        self,
        steps: Steps[Ending],
        route: Callable[[Sequence[str]], Awaitable[list[str]]],
        go_on: Callable[[str], Awaitable[None]],
        others: Sequence[str] = (),
    ) -> None:
        """Take the steps and answer the client; ``others`` are asked where the candidate of a last call fails.

        ``route`` finds candidates for texts, ``go_on`` serves the client's request as it is.

        :raises GatewayError: as long as nothing was sent to the client
        """
        has_gone_on = False
        try:
            try:
                ending = await self._end(steps, route)
            finally:
                steps.close()
            # Where nothing has come of asking, the client's own bytes go through, which can say more than we have read.
            is_in_vain = isinstance(ending, Plan) and ending.request is self._request and not self._answered
            if isinstance(ending, Plan) and (not self._made or is_in_vain):
                has_gone_on = True
                await go_on(ending.candidate)
            else:
                await self._finish(ending, others)
        except GatewayError as error:
            if not has_gone_on:
                self._error = error
                self._call.note(error)
            raise
        finally:
            if not has_gone_on:
                self._settle()

    async def _end(self, steps: Steps[Ending], route: Callable[[Sequence[str]], Awaitable[list[str]]]) -> Ending:
        try:
            step: Step = next(steps)
            while True:
                if isinstance(step, Route):
                    step = steps.send(await route(step.texts))
                else:
                    step = steps.send(await self._ask_all(step))
        except StopIteration as end:
            ending: Ending = end.value
            return ending

    async def _ask_all(self, step: Asks) -> list[Reply]:
        asks = step.asks
        now = self._asking.clock()
        left = max(0, self._limits.asks - self._made)
        if now >= self._begin_by or not self._can_pay(asks[:left], self._limits.cost_usd, self._limits.total_usd):
            left = 0
        deadline = now + SHARE_OF_ASKS * (self._begin_by - now)
        given = self._want
        wish = Wish(num_retries=given.wish.num_retries, is_without_fallbacks=True)
        want = Wants(wish=wish, tags=given.tags, regions=given.regions, priority=given.priority)
        # All of them have ended when this goes on: cancelled with it, or done.
        came = await asyncio.gather(*(self._ask(one, want, deadline) for one in asks[:left]), return_exceptions=True)
        replies = []
        for one in came:
            if isinstance(one, BaseException):
                raise one
            replies.append(one)
        return [*replies, *(Reply(ask=one) for one in asks[left:])]

    def _can_pay(self, asks: Sequence[Ask | Plan], *limits: float | None) -> bool:
        """Whether these would keep within what may be spent, as far as prices are known."""
        most = min((Decimal(str(one)) for one in limits if one is not None), default=None)
        return most is None or (self._cost or 0) + sum(map(self._expected, asks)) <= most

    def _expected(self, asked: Ask | Plan) -> Decimal:
        """What a call may cost."""
        request = asked.request
        given = estimate_tokens(sum(len(text_of(turn.parts).encode()) for turn in request.turns))
        made = request.max_tokens or USUAL_OUTPUT_TOKENS
        usage = Usage(input_tokens=given, output_tokens=made, total_tokens=given + made)
        return cost_usd(self._asking.price(asked.candidate), usage) or Decimal(0)

    async def _ask(self, ask: Ask, want: Wants, deadline: float) -> Reply:
        call, began = self._call, self._asking.clock()
        self._made += 1
        request = msgspec.structs.replace(ask.request, stream=False, include_usage=False)
        spoken = Spoken(request, self._shaping(ask))
        inner = Call(op.CHAT, Collector(), call.headers, b"", began, is_master=False, tenant=call.tenant)
        inner.group, inner.bill, inner.priority = call.group, call.bill, call.priority
        answer: chat.Answer | None = None
        failure = None
        try:
            await self._asking.ask(inner, ask.candidate, spoken, want, deadline)
            answer = spoken.answer
        except GatewayError as error:
            self._error = error.with_traceback(None)
            failure = type(error).__name__
        finally:
            self._attempt = spoken.attempt or self._attempt
        self._note(ask, spoken, began, failure)
        return Reply(ask=ask, answer=answer)

    def _shaping(self, asked: Ask | Plan) -> Shaping:
        """What may be left out of a request: of ours everything, of the caller's what it says itself."""
        if isinstance(asked, Ask) and asked.is_own:
            return OURS
        given = self._want.shaping
        return given.and_also(Shaping(ours=asked.ours)) if asked.ours else given

    def _note(self, ask: Ask, spoken: Spoken, began: float, failure: str | None) -> None:
        attempt, cost = spoken.attempt, spoken.cost
        usage = total(spoken.usages)
        if cost is not None:
            self._cost = cost + (self._cost or 0)
        self._usages += spoken.usages
        if attempt is not None and failure is None:
            self._answered[ask.candidate, ask.purpose] = attempt
        self._trace.append(
            Asked(
                purpose=ask.purpose,
                model=ask.candidate if attempt is None else attempt.public_model,
                deployment=None if attempt is None else attempt.target.deployment.id,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cost_usd=None if cost is None else float(cost),
                seconds=self._asking.clock() - began,
                failure=failure,
            )
        )

    async def _finish(self, ending: Ending, others: Sequence[str]) -> None:
        if isinstance(ending, Answer):
            self._reply(ending)
            return
        if ending.otherwise is not None and not self._can_pay([ending], self._limits.total_usd):
            self._reply(ending.otherwise)
            return
        want = self._last_want(ending, others)
        if self._call.is_stream:
            await self._stream(ending, want)
            return
        ask = Ask(candidate=ending.candidate, request=ending.request, purpose="answer", is_own=False, ours=ending.ours)
        reply = await self._ask(ask, want, self._deadline)
        if reply.answer is not None:
            self._reply(Answer(ending.candidate, reply.answer))
        elif ending.otherwise is not None:
            self._reply(ending.otherwise)
        else:
            raise self._error or UpstreamBroken

    def _last_want(self, plan: Plan, others: Sequence[str]) -> Wants:
        """What the caller wants, of the last call; unless that says otherwise, the other candidates follow.

        Those whose answers are there already are not asked once more.
        """
        given = self._want
        wish, patience = given.wish, given.patience
        if wish.fallbacks is None:
            here = {name for name, purpose in self._answered if purpose == "answer"} | {plan.candidate}
            wish = msgspec.structs.replace(wish, fallbacks=tuple(Fallback(name) for name in others if name not in here))
        if self._call.is_stream and patience is not None:
            patience = max(LEAST_PATIENCE, self._begin_by - self._asking.clock())
        return Wants(
            wish=wish, tags=given.tags, regions=given.regions, priority=given.priority, stream_timeout=patience
        )

    async def _stream(self, plan: Plan, want: Wants) -> None:
        """Let the last call's answer go to the client as it comes."""
        call = self._call
        self._made += 1
        call.routed = _Told(self)
        request = msgspec.structs.replace(plan.request, include_usage=self._request.include_usage)
        spoken = Spoken(request, self._shaping(plan), call.operation, self._usages)
        began = self._asking.clock()
        failure = None
        try:
            await self._asking.ask(call, plan.candidate, spoken, want, self._deadline)
            if (attempt := spoken.attempt) is not None:
                self._served, self._error = attempt.public_model, attempt.error
        except GatewayError as error:
            failure = type(error).__name__
            if plan.otherwise is None or call.downstream.is_started:
                raise
            self._reply(plan.otherwise)
        finally:
            if failure is None or not self._served:
                self._attempt = spoken.attempt or self._attempt
            ask = Ask(candidate=plan.candidate, request=plan.request, purpose="answer", is_own=False)
            self._note(ask, spoken, began, failure or call.failure)

    def _reply(self, ending: Answer) -> None:
        """Answer the client with what is there already."""
        call, attempt = self._call, self._answered[ending.candidate, ending.purpose]
        made = attempt.translation
        assert made is not None
        translation = Translation(
            outbound=made.outbound,
            inbound=INBOUND[call.operation.name],
            request=self._request,
            merges_reasoning=made.merges_reasoning,
        )
        terms = translation.terms(attempt.public_model, self._stationery.unique(), int(self._stationery.wall_clock()))
        answer = msgspec.structs.replace(ending.answer, usage=total(self._usages) if self._usages else None)
        lines = self._reply_lines(attempt)
        self._attempt, self._served, self._error = attempt, attempt.public_model, None
        call.status = 200
        call.failure = None
        if call.is_stream:
            kind = JSON_LINES if call.is_array else EVENT_LINES
            body = _events(translation, answer, terms, is_array=call.is_array)
            call.downstream.start(200, kind + lines)
            call.downstream.write(body)
            call.downstream.finish()
        else:
            body = msgspec.json.encode(translation.write(answer, terms))
            call.downstream.reply(200, JSON_LINE + lines, body)
        self.saw(body)

    def _reply_lines(self, attempt: Attempt) -> bytes:
        call, plan = self._call, attempt.plan
        lines = [
            call.identity,
            attempt.target.named_lines(attempt.public_model, call.is_master, attempt.captured is None),
            attempt_lines(plan.retries, plan.max_retries, plan.fallbacks),
            self.lines(attempt),
            dropped_line(attempt),
        ]
        if self._cost is not None:
            lines.append(b"x-litellm-response-cost: %b\r\n" % _written(self._cost))
        return b"".join(lines)

    def lines(self, attempt: Attempt) -> bytes:
        """Whose answer goes to the client, that of ``attempt``; whom else was asked, and what that has cost."""
        counts = Counter(f"{one.purpose}:{one.model}" for one in self._trace)
        path = " ".join(name if count == 1 else f"{name}*{count}" for name, count in counts.items())
        lines = (
            b"x-pointsman-routed-model: %b\r\nx-pointsman-reason: %b\r\n"
            b"x-pointsman-asks: %d\r\nx-pointsman-asked: %b\r\n"
        ) % (_plain(attempt.public_model), _plain(self._stationery.strategy), self._made, _plain(path))
        return lines if self._cost is None else lines + b"x-pointsman-asks-cost: %b\r\n" % _written(self._cost)

    def saw(self, data: bytes) -> None:
        """``data`` of the answer goes downstream."""
        self._problem = problem_of(data) or self._problem
        if len(self._calls) < MAX_IDS:
            self._calls += call_ids(data)

    def _settle(self) -> None:
        """Count the client's request, once, and tell what came of it."""
        call, attempt, seconds = self._call, self._attempt, self._asking.clock() - self._call.received
        if attempt is not None and not call.downstream.is_settled:
            meter = attempt.target.meter(call.group, call.operation)
            meter.observe_request(call.status, seconds, call.failure)
            call.downstream.is_settled = True
        self.ended = Ended(
            served=self._served if call.status == HTTPStatus.OK else "",
            status=call.status,
            usage=total(self._usages) if self._usages else None,
            cost_usd=None if self._cost is None else float(self._cost),
            seconds=seconds,
            error=self._error,
            problem=self._problem,
            calls=self._calls,
        )


class _Told:
    """Hears of the answer of a last call that is streamed; what came of it is told with all the rest."""

    chosen = None

    def __init__(self, errand: Errand) -> None:
        self._errand = errand

    def lines(self, attempt: Attempt) -> bytes:
        """Reply header lines about all of it."""
        return self._errand.lines(attempt)

    def saw(self, data: bytes) -> None:
        """``data`` goes downstream."""
        self._errand.saw(data)

    def settle(self, attempt: Attempt) -> None:
        """It is one ask among others."""


def _events(translation: Translation, answer: chat.Answer, terms: ReplyTerms, *, is_array: bool) -> bytes:
    writer = translation.stream_writer(terms, is_array=is_array)
    return b"".join([*map(writer.write, events_of(answer)), writer.close()])


def _written(cost: Decimal) -> bytes:
    return format(cost.normalize(), "f").encode()


def _plain(text: str) -> bytes:
    return NOT_PLAIN.sub("?", text[:MAX_SHOWN]).encode()
