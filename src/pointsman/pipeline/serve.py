"""One request through the four verbs: admit, plan, attempt, settle.

The edge has told the caller from a stranger. Here the body is peeked at and a plan made of who can answer it. Attempts
follow each other until one has an answer to send or the plan has nobody left; what goes downstream is never taken
back. Nothing waits for anything it does not need: an answer that fits in memory is one write, a stream goes from
socket to socket without a task of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from decimal import Decimal
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from pointsman.access.caller import Caller
from pointsman.errors import (
    GatewayError,
    InternalError,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    UpstreamUnreachable,
)
from pointsman.pipeline.admission import BATCH_PRIORITY, Admission
from pointsman.pipeline.answers import JSON, Answers
from pointsman.pipeline.attempt import Attempt
from pointsman.pipeline.batch_targets import BatchTargets
from pointsman.pipeline.cache import ExactCache
from pointsman.pipeline.call import Call
from pointsman.pipeline.choosing import refuse_routed, serve_routed
from pointsman.pipeline.gate import Gates
from pointsman.pipeline.headers import attempt_headers
from pointsman.pipeline.hedging import Hedging
from pointsman.pipeline.metering import Metering
from pointsman.pipeline.outgoing import IN_PATH, USAGE_ON_REQUEST, JsonBody, Outgoing, UploadBody, drop_members
from pointsman.pipeline.question import ROUTABLE, not_routable
from pointsman.pipeline.race import Outrun
from pointsman.pipeline.settings import ServingSettings
from pointsman.pipeline.targets import Target
from pointsman.pipeline.till import Till
from pointsman.pipeline.upload import Upload
from pointsman.pipeline.usage import given_text, text_bytes
from pointsman.pipeline.wants import NOTHING, Wants, wants_of
from pointsman.providers.base import Price
from pointsman.routing.candidates import NO_FACTS, Facts
from pointsman.routing.groups import Groups, Match
from pointsman.routing.plan import Choice, Plan, Wish
from pointsman.routing.settings import RoutingSettings
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.response import Response
from pointsman.wire import operations as op
from pointsman.wire.needs import needs_of
from pointsman.wire.operations import Operation
from pointsman.wire.peek import Peek, insert_fields, operation_of, peek
from pointsman.wire.usage import estimate_tokens
from pointsman.wire.wishes import WISH_HEADERS, strip_wishes

if TYPE_CHECKING:
    from pointsman.pipeline.routed import RoutedModel

log = logging.getLogger(__name__)

ESTIMATED = b"content-type: application/json\r\nx-pointsman-estimated: true\r\n"
OF_CHAT = (b'"function"', b'"tool_calls"', b'"developer"')
"""Words that no body of Anthropic's has, although it may have ``messages`` and ``system`` too."""
ONCE = frozenset({"image_generation", "audio_transcription", "audio_speech"})
"""Modes that are not asked for twice when the first time may have been charged for."""
AGENT = "a2a/"
"""With this the names of models begin that are agents."""
SHORT_BYTES = 16_384
"""Up to which a body is taken for text throughout."""


AskModel = Callable[[Call, bytes], Awaitable[None]]
"""Has a call answered whose body this is."""


class UseServers(Protocol):
    """Answers a request that may name MCP servers among its tools."""

    def __call__(
        self,
        call: Call,
        body: bytes,
        ask: AskModel,
        deadline: float,
        clock: Callable[[], float],
        *,
        calls_servers: bool,
    ) -> Coroutine[Any, Any, None]:
        """Answer it until ``deadline`` of ``clock``, by asking a model and calling servers in turn.

        ``calls_servers`` tells whether a provider may be asked that calls MCP servers itself.
        """


class UseAgents(Protocol):
    """Answers a request to an agent, which is named like a model."""

    def __call__(
        self, call: Call, body: bytes, shape: Operation, model: str, deadline: float, clock: Callable[[], float]
    ) -> Coroutine[Any, Any, None]:
        """Answer it until ``deadline`` of ``clock``; ``shape`` is the operation whose body it is."""


class Pipeline:
    """Serves the requests of one snapshot."""

    def __init__(
        self,
        groups: Groups,
        targets: Mapping[str, Target],
        answers: Answers,
        admission: Admission,
        tasks: Tasks,
        *,
        routing: RoutingSettings,
        serving: ServingSettings,
        clock: Callable[[], float],
        chance: Callable[[], float],
        cache: ExactCache | None = None,
        gates: Gates | None = None,
        till: Till | None = None,
    ) -> None:
        """``gates`` are those of the pipeline before, where requests wait that began with it.

        Without a ``till`` nobody's limits and budgets are kept.
        """
        self._groups = groups
        self._targets = targets
        self._answers = answers
        self._admission = admission
        self._tasks = tasks
        self._cache = cache
        self._can_drain = any(target.drains_on_disconnect for target in targets.values())
        self.routing = routing
        self.batch_targets = BatchTargets(groups, targets, has_tag_filtering=routing.has_tag_filtering)
        self._has_facts = routing.has_tag_filtering or routing.has_pre_call_checks
        self._serving = serving
        self.max_body_bytes = serving.max_body_bytes
        self._clock = clock
        self._chance = chance
        self.use_servers: UseServers | None = None
        """``None``: the gateway calls no MCP servers for models."""
        self.use_agents: UseAgents | None = None
        """``None``: agents cannot be asked like models."""
        self.routed: dict[str, RoutedModel] = {}
        """Those of groups whose model is chosen for each prompt, by name."""
        self._metering = None if till is None else Metering(till, groups, targets, self.routed)
        self._gates = gates or Gates(clock, serving.queue_timeout)
        self._hedging = Hedging(targets, clock)

    @property
    def queued(self) -> int:
        """Requests that wait for a deployment at its limit."""
        return self._gates.waiting

    def clock(self) -> float:
        """The time, as all times here are."""
        return self._clock()

    def leads_to(self, model: str, name: str) -> bool:
        """Whether a call to ``model`` is one to what is configured as ``name``."""
        return self._groups.leads_to(model, name)

    def price(self, model: str) -> Price:
        """What the dearest deployment of a public model costs; nothing is known of a model that there is not."""
        try:
            match = self._groups.match(model)
        except ModelNotFound:
            return Price()
        prices = [self._targets[member.deployment.id].price(match.captured) for member in match.group.members]
        return max(prices, key=_dollars, default=Price())

    def check_model(self, caller: Caller, operation: Operation, model: str | None) -> None:
        """Look whether a caller may have a model asked; ``None``: the one that is asked where nobody says.

        :raises ModelNotFound: he may not, or there is none
        :raises InvalidRequest: he has to say which one
        """
        name = None if model is None else caller.alias(model)
        is_plain = name is not None and name.isprintable()
        group = (self._groups.match(name) if is_plain and name else self._match_other(operation, name)).group.name
        caller.check_model(name or group, group)

    def deadline(self, call: Call, want: Wants) -> float:
        """When ``call`` has to be answered."""
        total = self._serving.total_timeout
        # Of a stream a timeout is for its first output: how long it may go on is not for the caller to know.
        return call.received + (total if want.timeout is None or call.is_stream else min(want.timeout, total))

    async def ask(self, call: Call, model: str, outgoing: Outgoing, want: Wants, deadline: float) -> None:
        """Answer a call that is made on the way to the answer of another one, which was admitted.

        It is counted for the deployment only: whoever asks counts what the client gets.

        :raises GatewayError: as long as ``call.downstream.is_started`` is false
        """
        routing, facts = self.routing, NO_FACTS
        if routing.has_tag_filtering or want.regions:
            tags = want.tags if routing.has_tag_filtering else None
            facts = Facts(tags=tags, tags_match_any=routing.tags_match_any, regions=want.regions)
        plan = Plan(self._groups, self._groups.match(model), model, self._chance, deadline, facts, want.wish)
        call.is_ask = True
        call.given_bytes = outgoing.text_bytes
        await self._follow(self._begin(call, plan, plan.first(self._clock()), want), want, outgoing)

    def serve(self, call: Call, body: bytes) -> Coroutine[Any, Any, None]:
        """Answer a JSON request.

        A function that gives a coroutine, because each one that awaits another is paid for at every step.

        :raises GatewayError: as long as ``call.downstream.is_started`` is false, the caller renders it
        """
        self._admission.check(call.priority)
        operation = call.operation
        shape = None
        try:
            peeked = peek(operation, body)
        except InvalidRequest as error:
            shape = _shape_of(operation, body, error)
            peeked = peek(shape, body)
        if peeked.has_system and operation is op.CHAT and not any(body.find(mark) >= 0 for mark in OF_CHAT):
            shape = op.MESSAGES
        model = call.path_model or peeked.model
        want = NOTHING
        if peeked.wishes is not None or not WISH_HEADERS.isdisjoint(call.headers):
            want = wants_of(peeked.wishes, call.headers, model)
            self._allow(call, want)
            model = model or want.model
            if peeked.wishes is not None:
                body = _wished(strip_wishes(body), want)
                peeked = peek(shape or operation, body)
        if model is not None and call.caller is not None and not call.is_operators:
            model = call.caller.alias(model)
        call.peeked = peeked
        if call.is_stream or (peeked.stream and operation not in IN_PATH):
            call.is_stream = True
        # Pictures do not fit into a short body: looking for them takes longer than all the rest.
        call.given_bytes = text_bytes(body) if len(body) > SHORT_BYTES else len(body)
        if operation is op.SPEECH:
            call.given_text = given_text(body)
        if model is not None and model.startswith(AGENT) and self._is_agent(call, model):
            assert self.use_agents is not None
            return self.use_agents(call, body, shape or operation, model, self.deadline(call, want), self._clock)
        match = self._match(call, model)
        way = self._use_servers if peeked.names_servers and shape is None else self._go_on
        if self._metering is not None and (call.used is not None or self._metering.minds(call.caller)):
            go_on = partial(way, call, match, model, want, peeked, body, shape)
            return self._metering.serve(call, match, model, go_on, body=body, wish=want.wish)
        return way(call, match, model, want, peeked, body, shape)

    def _go_on(
        self,
        call: Call,
        match: Match,
        model: str | None,
        want: Wants,
        peeked: Peek,
        body: bytes,
        shape: Operation | None,
    ) -> Coroutine[Any, Any, None]:
        if match.group.is_routed and (call.operation in ROUTABLE or not match.group.members):
            return serve_routed(self, call, match, model, want, body, shape)
        plan = self.plan(call, match, model, want, body)
        return self.answer(call, plan, want, JsonBody(peeked, body, shape, want.shaping), body)

    def _is_agent(self, call: Call, model: str) -> bool:
        """Whether that names no model, in a request of a client that an agent could answer."""
        is_asked = self.use_agents is not None and call.caller is not None and call.operation in op.CONVERSATIONS
        return is_asked and not call.is_operators and model not in self._groups.names

    def _use_servers(
        self,
        call: Call,
        match: Match,
        model: str | None,
        want: Wants,
        peeked: Peek,
        body: bytes,
        shape: Operation | None,
    ) -> Coroutine[Any, Any, None]:
        """Go on with a call that may name MCP servers: each round of it goes on as others do."""
        if self.use_servers is None:
            return self._go_on(call, match, model, want, peeked, body, shape)

        async def ask(inner: Call, body: bytes) -> None:
            inner.peeked = peek(inner.operation, body)
            await self._go_on(inner, match, model, want, inner.peeked, body, None)

        deadline, calls_servers = self.deadline(call, want), self._calls_servers(call, match)
        return self.use_servers(call, body, ask, deadline, self._clock, calls_servers=calls_servers)

    def _calls_servers(self, call: Call, match: Match) -> bool:
        """Whether a provider may be asked that calls MCP servers itself, as those of the Responses API do."""
        if call.operation is not op.RESPONSES:
            return False
        targets = (self._targets[one.id] for one in match.group.deployments)
        return match.group.is_routed or any(one.passes(op.RESPONSES) for one in targets)

    def answer(self, call: Call, plan: Plan, want: Wants, outgoing: JsonBody, body: bytes) -> Coroutine[Any, Any, None]:
        """Go on with a call that has a plan."""
        if call.operation in op.COUNTS:
            return self._count(call, plan, want, outgoing)
        if self._cache is None:
            return self._run(call, plan, want, outgoing)
        return self._serve_kept(self._cache, call, plan, want, outgoing, body)

    async def _count(self, call: Call, plan: Plan, want: Wants, outgoing: JsonBody) -> None:
        """Count tokens: by the provider where it can, else as nearly as bytes tell."""
        choice = plan.first(self._clock())
        attempt = self._begin(call, plan, choice, want)
        if attempt.target.can_count(call.operation, attempt.upstream_model):
            await self._carry(attempt, outgoing)
            self._settle(call, attempt, self._clock())
            if attempt.error is None:
                return
            if attempt.error.status < HTTPStatus.INTERNAL_SERVER_ERROR and not attempt.error.is_retryable:
                raise attempt.error
        tokens = estimate_tokens(outgoing.text_bytes)
        name = "totalTokens" if call.operation is op.GEMINI_COUNT_TOKENS else "input_tokens"
        call.status = 200
        call.downstream.reply(200, ESTIMATED + call.identity, b'{"%b":%d}' % (name.encode(), tokens))

    async def _serve_kept(
        self, cache: ExactCache, call: Call, plan: Plan, want: Wants, outgoing: Outgoing, body: bytes
    ) -> None:
        async def attempt() -> bool:
            await self._run(call, plan, want, outgoing)
            # An answer of another model is not kept under this one's name.
            return plan.fallbacks == 0

        # Tags and regions choose who answers, and this header how.
        beta = call.headers.get(b"openai-beta", b"") + call.headers.get(b"anthropic-beta", b"")
        shaping = f"{want.shaping.drops_all} {sorted(want.shaping.allowed)}"
        # What other deployments have said before a change of the configuration is not this model's answer.
        edition = cache.edition(plan.generation, plan.deployments)
        places = " ".join(",".join(one) for one in want.regions)
        scope = (",".join(sorted(want.tags)), beta.decode("latin-1"), shaping, edition, places)
        await cache.serve(call, plan.model, body, scope, want.cache, want.caching, attempt)

    async def serve_upload(self, call: Call, upload: Upload) -> None:
        """Answer a multipart request, whose body is still arriving.

        :raises GatewayError: as long as ``call.downstream.is_started`` is false, the caller renders it
        """
        self._admission.check()
        model = call.path_model or await upload.find_model()
        want = wants_of(None, call.headers, model)
        self._allow(call, want)
        if model is not None and call.caller is not None:
            model = call.caller.alias(model)
        match = self._match(call, model)
        if match.group.is_routed and not match.group.members:
            raise not_routable(model)
        if self._metering is not None and self._metering.minds(call.caller):
            go_on = partial(self._upload, call, match, model, want, upload)
            await self._metering.serve(call, match, model, go_on, upload=upload, wish=want.wish)
        else:
            await self._upload(call, match, model, want, upload)

    async def _upload(self, call: Call, match: Match, model: str | None, want: Wants, upload: Upload) -> None:
        plan = self.plan(call, match, model, want, b"")
        outgoing = UploadBody(upload)
        attempt = self._begin(call, plan, plan.first(self._clock()), want)
        await outgoing.prepare(attempt)
        # Never without its client, who has the rest of the form.
        await self._follow(attempt, want, outgoing)

    def _allow(self, call: Call, want: Wants) -> None:
        if call.caller is not None and call.caller.models:
            wish = want.wish
            for named in (wish.fallbacks, wish.context_window_fallbacks, wish.content_policy_fallbacks):
                for one in named or ():
                    self._check_model(call.caller, one.model)
        if self.routed and want.wish.fallbacks:
            refuse_routed(self._groups, want.wish.fallbacks)
        if want.priority:
            self._admission.check(want.priority)
        if want.is_mock_failure and not self._serving.allows_mock_testing:
            raise InvalidRequest(
                "Mock testing is off: the operator has to set "
                "general_settings.dangerously_allow_mock_testing_request_params",
                param="mock_testing_fallbacks",
            )

    def _match(self, call: Call, model: str | None) -> Match:
        caller = call.caller
        if model is not None and model.isprintable():
            match = self._groups.match(model)
        else:
            match = self._match_other(call.operation, model)
        if caller is not None and caller.models:
            caller.check_model(model or match.group.name, match.group.name)
        call.group = match.group.name
        return match

    def _check_model(self, caller: Caller, model: str) -> None:
        """:raises ModelNotFound: the caller may not go on with it, or there is none and it is not among his"""
        try:
            group = self._groups.match(model).group.name
        except ModelNotFound:
            group = model
        caller.check_model(model, group)

    def plan_of(self, call: Call, want: Wants, match: Match, model: str, facts: Facts, wish: Wish) -> Plan:
        """Who can answer where somebody has chosen for the caller."""
        return Plan(self._groups, match, model, self._chance, self.deadline(call, want), facts, _timed(call, wish))

    def plan(self, call: Call, match: Match, model: str | None, want: Wants, body: bytes) -> Plan:
        """Who can answer a request to ``model``."""
        return Plan(
            self._groups,
            match,
            model or match.group.name,
            self._chance,
            self.deadline(call, want),
            self._facts(call, want, body) if self._has_facts or want.regions else NO_FACTS,
            _timed(call, want.wish),
            call.operation.mode not in ONCE,
        )

    def _match_other(self, operation: Operation, model: str | None) -> Match:
        if model is not None:
            # In a form or a header, a line break would become one.
            raise InvalidRequest("'model' must not hold control characters", param="model")
        if operation in USAGE_ON_REQUEST and self.routing.default_model is not None:
            return self._groups.match(self.routing.default_model)
        if operation.needs_model:
            raise InvalidRequest("The request names no model: set 'model'", param="model")
        return self._groups.for_operation(operation)

    def _facts(self, call: Call, want: Wants, body: bytes) -> Facts:
        routing = self.routing
        return Facts(
            tags=want.tags if routing.has_tag_filtering else None,
            tags_match_any=routing.tags_match_any,
            regions=want.regions,
            needs=needs_of(call.operation, body) if routing.has_pre_call_checks else None,
        )

    def _run(self, call: Call, plan: Plan, want: Wants, outgoing: Outgoing) -> Coroutine[Any, Any, None]:
        now = self._clock()
        attempt = self._begin(call, plan, plan.first(now), want, now)
        if self._can_drain:
            return self._detach(attempt, want, outgoing)
        if want.is_mock_failure or attempt.choice.match.group.hedges is not None:
            return self._follow(attempt, want, outgoing)
        return self._carry(attempt, outgoing, want)

    async def _detach(self, attempt: Attempt, want: Wants, outgoing: Outgoing) -> None:
        """Go on to the end of an answer although the client has left, to know what it has cost."""
        call = attempt.call
        try:
            task = self._tasks.start(self._outcome(attempt, want, outgoing), f"drain {call.group}")
        except Overloaded:
            # Too many go on already: this one ends with its client.
            await self._follow(attempt, want, outgoing)
            return
        try:
            error = await asyncio.shield(task)
        except asyncio.CancelledError:
            call.is_abandoned = True
            if call.is_drained:
                self._admission.adopt(task)
                if call.bill is not None:
                    call.bill.hold(task)
            else:
                task.cancel()
            raise
        if error is not None:
            raise error

    async def _outcome(self, attempt: Attempt, want: Wants, outgoing: Outgoing) -> GatewayError | None:
        """The failure of a call as a value: there may be nobody left to raise it to."""
        try:
            await self._follow(attempt, want, outgoing)
        except GatewayError as error:
            return error
        return None

    async def _follow(self, attempt: Attempt, want: Wants, outgoing: Outgoing) -> None:
        """Make attempts until one has an answer or the plan has nobody left; the first may have failed already."""
        call, plan = attempt.call, attempt.plan
        try:
            if want.is_mock_failure:
                attempt.error = UpstreamUnreachable("This failure was asked for (mock_testing_fallbacks)")
            elif attempt.error is None:
                attempt = await self._make(attempt, outgoing)
            while (error := attempt.error) is not None and not call.downstream.is_started:
                if call.has_left() or not outgoing.can_repeat:
                    break
                following = plan.after(attempt.member, error, self._clock())
                if following is None:
                    break
                if following.pause:
                    await asyncio.sleep(following.pause)
                    if call.has_left():
                        break
                attempt.count_failed()
                attempt = self._begin(call, plan, following, want)
                await outgoing.prepare(attempt)
                attempt = await self._make(attempt, outgoing)
        except Exception:
            call.note(InternalError())
            raise
        finally:
            self._settle(call, attempt, self._clock())
        if attempt.error is not None and not call.downstream.is_started:
            attempt.error.headers += attempt_headers(plan)
            raise attempt.error

    def _begin(self, call: Call, plan: Plan, choice: Choice, want: Wants, now: float | None = None) -> Attempt:
        target = self._targets[choice.member.deployment.id]
        attempt = Attempt(call, plan, choice, target, self._clock() if now is None else now)
        call.is_drained = target.drains_on_disconnect
        if want is not NOTHING:
            attempt.priority = max(call.priority, want.priority)
            attempt.limit_first_byte(want.patience if call.is_stream else None)
        return attempt

    async def _make(self, attempt: Attempt, outgoing: Outgoing) -> Attempt:
        """Make an attempt, with another one beside it where the group hedges; gives the one that tells."""
        hedges = attempt.choice.match.group.hedges
        # What has time need not be quicker.
        if hedges is None or not attempt.plan.is_repeatable or attempt.call.priority >= BATCH_PRIORITY:
            await self._carry(attempt, outgoing)
            return attempt
        return await self._hedging.make(self._carry, attempt, outgoing, hedges)

    async def _carry(self, attempt: Attempt, outgoing: Outgoing, want: Wants | None = None) -> None:
        """Send, and take the answer; what goes wrong before anything was sent downstream is left in ``attempt``.

        With ``want`` it is the first attempt of a call, which is settled here if it has an answer, and followed by
        others if it has failed: a coroutine around this one would be paid for by every request that needs no other.
        """
        call, member = attempt.call, attempt.member
        response: Response | None = None
        has_entered = False
        try:
            if member.is_limited:
                await self._gates.enter(
                    member,
                    attempt.priority,
                    attempt.plan.deadline,
                    heeds_rates=attempt.choice.match.group.enforces_rates,
                    gives_way=call.priority >= BATCH_PRIORITY,
                )
                attempt.start(self._clock())
            else:
                member.enter(attempt.sent)
            has_entered = True
            head, body, length = outgoing.request(attempt)
            response = await attempt.target.upstream.send(
                head, body, length=length, timeouts=attempt.timeouts, deadline=attempt.deadline
            )
            attempt.answered = self._clock()
            if (whole := response.whole(JSON)) is not None:
                self._answers.answer(attempt, response, whole)
            else:
                await self._answers.take(attempt, response)
        except GatewayError as error:
            # Without its frames, which hold the attempt that holds it: that would be work for the collector.
            attempt.error = error.with_traceback(None)
        except Outrun:
            pass
        except Exception:
            call.note(InternalError())
            raise
        finally:
            if response is not None and not response.is_complete:
                response.abort()
            now = self._clock()
            if has_entered:
                self._conclude(attempt, now)
            if want is not None and (attempt.error is None or call.downstream.is_started):
                self._settle(call, attempt, now)
        if want is not None and attempt.error is not None and not call.downstream.is_started:
            await self._follow(attempt, want, outgoing)

    def _conclude(self, attempt: Attempt, now: float) -> None:
        if attempt.conclude(now, self._chance):
            attempt.meter.rest()
            log.warning("deployment %s rests after %s", attempt.member.deployment.id, attempt.failure_name)
        if attempt.member.is_limited:
            self._gates.left(attempt.member)
        if attempt.call.bill is not None:
            attempt.call.bill.add(attempt, now)

    def _settle(self, call: Call, attempt: Attempt, now: float) -> None:
        if attempt.race is not None:
            attempt = attempt.race.winner or attempt
        if attempt.error is not None and not call.downstream.is_started:
            call.note(attempt.error)
        if call.is_ask:
            self._settle_ask(call, attempt, now)
            return
        attempt.target.meter(call.group, call.operation).observe(
            call.status,
            now - call.received,
            (now if attempt.answered is None else attempt.answered) - attempt.sent,
            attempt.ttft,
            attempt.overhead,
            attempt.usage,
            None if attempt.cost is None else float(attempt.cost),
            call.failure,
            is_deployments_fault=call.is_deployments_fault,
        )
        call.downstream.is_settled = True
        if call.routed is not None:
            call.routed.settle(attempt)
        plan = attempt.plan
        if plan.retries or plan.fallbacks:
            attempt.target.metrics.observe_extra(
                call.group,
                attempt.choice.match.group.name if plan.fallbacks else call.group,
                has_retries=plan.retries > 0,
                is_success=call.status == 200,
            )

    def _settle_ask(self, call: Call, attempt: Attempt, now: float) -> None:
        """Count for the deployment what was asked on the way; the client's request is counted by whoever asked."""
        attempt.meter.observe_ask(
            (now if attempt.answered is None else attempt.answered) - attempt.sent,
            attempt.ttft,
            attempt.usage,
            None if attempt.cost is None else float(attempt.cost),
            call.failure,
            is_answered=attempt.is_answered,
            is_deployments_fault=call.is_deployments_fault,
        )
        if attempt.plan.fallbacks:
            used, is_success = attempt.choice.match.group.name, call.status == HTTPStatus.OK
            attempt.target.metrics.observe_extra(call.group, used, has_retries=False, is_success=is_success)


def _dollars(price: Price) -> Decimal:
    return (price.input_usd_per_token or Decimal(0)) + (price.output_usd_per_token or Decimal(0))


def _wished(body: bytes, want: Wants) -> bytes:
    """The caller's body with what is wished for beside it."""
    if want.drops:
        body = drop_members(body, want.drops)
    return insert_fields(body, {}, want.extra_body) if want.extra_body else body


def _timed(call: Call, wish: Wish) -> Wish:
    """The wish of a call, which has time where it is one of a batch."""
    return wish if call.priority < BATCH_PRIORITY else msgspec.structs.replace(wish, has_time=True)


def _shape_of(operation: Operation, body: bytes, error: InvalidRequest) -> Operation:
    """The operation whose body was sent to the address of chat.

    :raises InvalidRequest: ``error``, as it is no other's either
    """
    shape = operation_of(body) if operation is op.CHAT and error.param == "messages" else None
    if shape is None:
        raise error
    return shape
