from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import msgspec
import pytest

from pointsman.errors import UpstreamUnreachable
from pointsman.pipeline.admission import Admission
from pointsman.pipeline.answers import Answers
from pointsman.pipeline.attempt import Attempt
from pointsman.pipeline.cache import AnswerCache, ExactCache
from pointsman.pipeline.call import Call
from pointsman.pipeline.serve import Pipeline
from pointsman.pipeline.settings import ServingSettings
from pointsman.pipeline.targets import Target
from pointsman.pipeline.till import Till
from pointsman.providers.base import Deployment, KnownModels, Price, Vendor
from pointsman.routing.groups import Groups
from pointsman.routing.plan import Plan
from pointsman.routing.settings import RoutingSettings
from pointsman.telemetry.meters import DeploymentMeter
from pointsman.telemetry.metrics import Metrics
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.deadlines import Sweepable, Sweeper
from pointsman.upstream.response import Headers, Response
from pointsman.upstream.settings import Timeouts
from pointsman.wire import operations as op
from pointsman.wire.operations import Operation
from pointsman.wire.replies import Flow
from pointsman.wire.secret import Secret

KEY = "sk-upstream-canary-93ab"
RECEIVED = 100.0
MESSAGES: list[dict[str, str]] = [{"role": "user", "content": "Hello"}]
CHAT: dict[str, Any] = {"model": "house", "messages": MESSAGES}
DONE = b"data: [DONE]\n\n"
ERROR = b'{"error":{"message":"no","type":"t","code":"c"}}'
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nhouse\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nABC\r\n--b--\r\n'
)
FORM_TYPE = b"multipart/form-data; boundary=b"
OWN_SECONDS = 0.25
ANSWER = (
    b'{"id":"c1", "model":"up-1", "choices":[{"index":0,"message":{"content":"Hi"}}],'
    b' "usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}'
)
VENDORS = {
    "openai": Vendor(name="openai", base_url="http://up.test/v1", has_responses=True, has_developer_role=True),
    "cohere": Vendor(name="cohere", dialect="cohere", base_url="http://up.test"),
    "anthropic": Vendor(
        name="anthropic", dialect="anthropic", base_url="http://up.test/v1", key_header="x-api-key", key_prefix=""
    ),
    "gemini": Vendor(name="gemini", dialect="gemini", base_url="http://up.test/v1beta", key_header="x-goog-api-key"),
    "azure": Vendor(
        name="azure", cloud="azure", base_url="http://up.test", has_responses=True, has_developer_role=True
    ),
    "groq": Vendor(name="groq", base_url="http://up.test/v1", drops=frozenset({"logit_bias"})),
}
PRICE = Price(input_usd_per_token=Decimal("0.001"), output_usd_per_token=Decimal("0.002"))


class Clock:
    """Goes on only when told to."""

    def __init__(self) -> None:
        self.now = RECEIVED + OWN_SECONDS

    def __call__(self) -> float:
        return self.now


class Downstream:
    """Keeps the reply."""

    def __init__(self) -> None:
        self.is_settled = False
        self.is_started = False
        self.is_finished = False
        self.is_cut = False
        self.status: int | None = None
        self.lines = b""
        self.length: int | None = None
        self.pieces: list[bytes] = []
        self.flow: Flow | None = None

    def reply(self, status: int, headers: bytes, body: bytes) -> None:
        self.start(status, headers, len(body))
        self.write(body)
        self.finish()

    def start(self, status: int, headers: bytes, length: int | None = None) -> None:
        assert not self.is_started
        self.is_started = True
        self.status, self.lines, self.length = status, headers, length

    def write(self, piece: bytes) -> None:
        assert self.is_started
        assert not self.is_finished
        self.pieces.append(piece)

    def finish(self) -> None:
        self.is_finished = True

    def cut(self) -> None:
        self.is_cut = True

    def flow_to(self, flow: Flow | None) -> None:
        self.flow = flow

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def headers(self) -> dict[str, str]:
        return dict(line.split(": ", 1) for line in self.lines.decode().split("\r\n") if line)


class Sent(msgspec.Struct):
    """One request as the upstream got it."""

    head: bytes
    body: bytes
    length: int | None
    timeouts: Timeouts
    deadline: float | None

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Script(msgspec.Struct):
    """One answer of an upstream."""

    pieces: tuple[bytes, ...] = (ANSWER,)
    status: int = 200
    headers: Headers = []
    is_whole: bool = True
    then: Exception | None = None
    error: Exception | None = None
    is_held: bool = False


class Upstream:
    """Answers by script, keeps what it was sent, and remembers what the answer's consumer asked of it."""

    host_header = b"up.test"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._once: list[Script] = []
        self._always = Script()
        self.seconds = 0.0
        self.sent: list[Sent] = []
        self.calls: list[str] = []
        self.response: Response | None = None
        self.error: Exception | None = None
        self.go = asyncio.Event()
        """What held answers wait for."""
        self.script(ANSWER)

    def script(self, *pieces: bytes, **more: Any) -> None:
        """Answer with these pieces, then end, fail with ``then``, or go on as the test says."""
        self._always = _script(*pieces, **more)

    def once(self, *pieces: bytes, **more: Any) -> None:
        """Answer one request so, before what :meth:`script` says."""
        self._once.append(_script(*pieces, **more))

    async def send(
        self,
        head: bytes,
        body: bytes | AsyncIterator[bytes],
        *,
        length: int | None = None,
        timeouts: Timeouts,
        deadline: float | None = None,
    ) -> Response:
        script = self._once.pop(0) if self._once else self._always
        error = script.error or self.error
        if isinstance(error, UpstreamUnreachable):
            self.sent.append(Sent(head, b"", length, timeouts, deadline))
            raise error
        if not isinstance(body, bytes):
            body = b"".join([piece async for piece in body])
        self.sent.append(Sent(head, body, length, timeouts, deadline))
        self._clock.now += self.seconds
        if script.is_held:
            await self._hold()
        if error is not None:
            raise error
        response = self.response = Response(script.status, script.headers, self)
        for piece in script.pieces:
            response.feed(piece)
        if script.then is not None:
            response.fail(script.then)
        elif script.is_whole:
            response.finish()
        return response

    async def _hold(self) -> None:
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.calls.append("cancel")
            raise

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")

    def abort(self) -> None:
        self.calls.append("abort")


def _script(
    *pieces: bytes, kind: bytes | None = b"application/json", headers: Sequence[tuple[bytes, bytes]] = (), **more: Any
) -> Script:
    """``error`` is raised instead of an answer; with ``is_held`` it waits for ``go``."""
    lines: Headers = [*headers] if kind is None else [(b"content-type", kind), *headers]
    return Script(pieces=pieces, headers=lines, **more)


class Sweeps:
    """Sweeps when told to."""

    def __init__(self) -> None:
        self.lag = 0.0
        self.members: list[Sweepable] = []

    def add(self, item: Sweepable) -> None:
        self.members.append(item)

    def discard(self, item: Sweepable) -> None:
        if item in self.members:
            self.members.remove(item)

    def sweep(self) -> None:
        for member in tuple(self.members):
            member.sweep(0.0)


class Rig:
    """A pipeline between a scripted upstream for each deployment and a recording downstream."""

    def __init__(
        self,
        *deployments: Deployment,
        models: KnownModels | None = None,
        routing: RoutingSettings | None = None,
        serving: ServingSettings | None = None,
        chance: float = 0.0,
        max_tasks: int = 100,
        till: Till | None = None,
    ) -> None:
        # What a test does not ask for does not happen: one attempt, and no second one.
        routing = routing or RoutingSettings(num_retries=0)
        serving = serving or ServingSettings(max_body_bytes=1 << 20)
        self.clock = Clock()
        self.metrics = Metrics("0")
        self.upstreams = {d.id: Upstream(self.clock) for d in deployments}
        self.targets = {
            d.id: Target(
                d,
                self.upstreams[d.id],
                Timeouts(first_byte=60),
                self.metrics,
                models or {},
                serving,
            )
            for d in deployments
        }
        self.groups = Groups(deployments, routing)
        self.sweeper = Sweeps()
        self.tasks = Tasks(logging.getLogger("tests"), max_tasks)
        kept = serving.cache
        self.pipeline = Pipeline(
            self.groups,
            self.targets,
            Answers(self.clock, lambda: 1e9, lambda: "1", cast("Sweeper", self.sweeper)),
            Admission(self.sweeper, self.metrics, serving.max_in_flight),
            self.tasks,
            routing=routing,
            serving=serving,
            clock=self.clock,
            chance=lambda: chance,
            cache=None if kept is None else ExactCache(kept, AnswerCache(kept.max_bytes), self.clock),
            till=till,
        )
        self.downstream = Downstream()

    @property
    def upstream(self) -> Upstream:
        return next(iter(self.upstreams.values()))

    @property
    def target(self) -> Target:
        return next(iter(self.targets.values()))

    @staticmethod
    async def turns(count: int = 20) -> None:
        """Let everything happen that can happen without anything new from outside."""
        for _ in range(count):
            await asyncio.sleep(0)

    @property
    def sent(self) -> Sent:
        """The one request that went out."""
        (sent,) = (sent for upstream in self.upstreams.values() for sent in upstream.sent)
        return sent

    @property
    def asked(self) -> dict[str, int]:
        """How often each deployment was asked that was asked at all."""
        return {name: len(upstream.sent) for name, upstream in self.upstreams.items() if upstream.sent}

    def meters(self, name: str) -> DeploymentMeter:
        """That of the deployment with this id."""
        (meter,) = (meter for meter in self.metrics.deployment_meters() if meter.model_id == name)
        return meter

    @property
    def busy(self) -> int:
        """Attempts that have begun and not concluded."""
        return sum(member.in_flight for member in self.groups.members.values())

    @property
    def meter(self) -> DeploymentMeter:
        """The one that was counted with."""
        (meter,) = self.metrics.deployment_meters()
        return meter

    def call(self, operation: Operation = op.CHAT, headers: Mapping[bytes, bytes] | None = None, **more: Any) -> Call:
        self.downstream = Downstream()
        more = {"is_master": True} | more
        return Call(operation, self.downstream, headers or {}, b"x-request-id: r1\r\n", RECEIVED, **more)

    def attempt(self, call: Call | None = None, model: str = "house", deadline: float = 1e6, **plan: Any) -> Attempt:
        """The first try at answering ``call``; it has not begun."""
        call = call or self.call()
        match = self.groups.match(model)
        call.group = match.group.name
        made = Plan(self.groups, match, model, chance=lambda: 0.0, deadline=deadline, **plan)
        choice = made.first(self.clock.now)
        return Attempt(call, made, choice, self.targets[choice.member.deployment.id], self.clock.now)

    async def ask(self, body: Any, operation: Operation = op.CHAT, **call: Any) -> Downstream:
        """Serve one request; ``body`` is bytes, or what becomes JSON."""
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        await self.pipeline.serve(self.call(operation, **call), raw)
        return self.downstream


@pytest.fixture
def deployment() -> Callable[..., Deployment]:
    def make(name: str = "house", upstream_model: str = "up-1", vendor: str = "openai", **more: Any) -> Deployment:
        known = VENDORS[vendor]
        values: dict[str, Any] = {
            "id": f"{name}-id",
            "base_url": known.base_url,
            "credential": Secret(KEY),
            "price": PRICE,
        }
        return Deployment(model_name=name, upstream_model=upstream_model, vendor=known, **values | more)

    return make


@pytest.fixture
def make_rig() -> Callable[..., Rig]:
    return Rig


@pytest.fixture
def rig(deployment: Callable[..., Deployment]) -> Rig:
    return Rig(deployment())


@pytest.fixture
def pair(deployment: Callable[..., Deployment]) -> Rig:
    """Two deployments of one model, of which ``a`` is asked first."""
    other = deployment(id="b", upstream_model="up-2", credential=Secret("sk-upstream-other-71cd"))
    return Rig(deployment(id="a"), other, routing=RoutingSettings())


@pytest.fixture
def groups(deployment: Callable[..., Deployment]) -> Callable[..., Rig]:
    """Three models, one deployment each, without retries."""

    def make(serving: ServingSettings | None = None, **routing: Any) -> Rig:
        deployments = [deployment(name, f"up-{name}") for name in ("house", "second", "third")]
        return Rig(*deployments, routing=RoutingSettings(num_retries=0, **routing), serving=serving)

    return make
