"""One request through the four verbs: admit, plan, attempt, settle.

The edge has told the caller from a stranger. Here the body is peeked at and a plan made of who can answer it, which
:class:`~pointsman.pipeline.attempting.Attempts` follows. Nothing waits for anything it does not need: an answer that
fits in memory is one write, a stream goes from socket to socket without a task of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from decimal import Decimal
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from pointsman.access.caller import Caller
from pointsman.errors import InvalidRequest, ModelNotFound
from pointsman.pipeline.admission import BATCH_PRIORITY, Admission
from pointsman.pipeline.answers import Answers
from pointsman.pipeline.attempting import Attempts
from pointsman.pipeline.batch_targets import BatchTargets
from pointsman.pipeline.cache import ExactCache
from pointsman.pipeline.call import Call
from pointsman.pipeline.choosing import refuse_routed, serve_routed
from pointsman.pipeline.gate import Gates
from pointsman.pipeline.metering import Metering
from pointsman.pipeline.outgoing import IN_PATH, USAGE_ON_REQUEST, JsonBody, Outgoing, UploadBody, drop_members
from pointsman.pipeline.question import ROUTABLE, not_routable
from pointsman.pipeline.settings import ServingSettings
from pointsman.pipeline.targets import Target
from pointsman.pipeline.till import Till
from pointsman.pipeline.upload import Upload
from pointsman.pipeline.usage import given_text, text_bytes
from pointsman.pipeline.wants import NOTHING, Wants, wants_of
from pointsman.providers.base import Price
from pointsman.routing.candidates import NO_FACTS, Facts
from pointsman.routing.groups import Groups, Match
from pointsman.routing.plan import Plan, Wish
from pointsman.routing.settings import RoutingSettings
from pointsman.telemetry.tasks import Tasks
from pointsman.wire import operations as op
from pointsman.wire.needs import needs_of
from pointsman.wire.operations import Operation
from pointsman.wire.peek import Peek, insert_fields, operation_of, peek
from pointsman.wire.usage import estimate_tokens
from pointsman.wire.wishes import WISH_HEADERS, strip_wishes

if TYPE_CHECKING:
    from pointsman.pipeline.routed import RoutedModel

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
        self._admission = admission
        self._cache = cache
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
        self._attempts = Attempts(targets, answers, admission, tasks, self._gates, clock=clock, chance=chance)

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
        await self._attempts.follow(self._attempts.first(call, plan, want), want, outgoing)

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
            return self._attempts.run(call, plan, want, outgoing)
        return self._serve_kept(self._cache, call, plan, want, outgoing, body)

    async def _count(self, call: Call, plan: Plan, want: Wants, outgoing: JsonBody) -> None:
        """Count tokens: by the provider where it can, else as nearly as bytes tell."""
        attempt = self._attempts.first(call, plan, want)
        if attempt.target.can_count(call.operation, attempt.upstream_model):
            await self._attempts.make_alone(attempt, outgoing)
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
            await self._attempts.run(call, plan, want, outgoing)
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
        attempt = self._attempts.first(call, plan, want)
        await outgoing.prepare(attempt)
        # Never without its client, who has the rest of the form.
        await self._attempts.follow(attempt, want, outgoing)

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
