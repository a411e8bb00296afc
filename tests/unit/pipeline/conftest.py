from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from pointsman.pipeline.call import Call
from pointsman.pipeline.downstream import Flow
from pointsman.pipeline.serve import Pipeline
from pointsman.pipeline.targets import Target
from pointsman.providers.base import Deployment, ModelFacts, Price, Vendor
from pointsman.providers.codecs import CODECS
from pointsman.routing.groups import Groups
from pointsman.routing.settings import RoutingSettings
from pointsman.telemetry.meters import DeploymentMeter
from pointsman.telemetry.metrics import Metrics
from pointsman.upstream.response import Headers, Response
from pointsman.upstream.settings import Timeouts
from pointsman.wire import operations as op
from pointsman.wire.operations import Operation
from pointsman.wire.secret import Secret

KEY = "sk-upstream-canary-93ab"
RECEIVED = 100.0
OWN_SECONDS = 0.25
ANSWER = (
    b'{"id":"c1", "model":"up-1", "choices":[{"index":0,"message":{"content":"Hi"}}],'
    b' "usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}'
)
VENDORS = {
    "openai": Vendor(name="openai", base_url="http://up.test/v1"),
    "cohere": Vendor(name="cohere", dialect="cohere", base_url="http://up.test"),
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

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Upstream:
    """Answers by script, keeps what it was sent, and remembers what the answer's consumer asked of it."""

    host_header = b"up.test"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.seconds = 0.0
        self.sent: list[Sent] = []
        self.calls: list[str] = []
        self.response: Response | None = None
        self.error: Exception | None = None
        self.script(ANSWER)

    def script(  # every argument is a part of the answer
        self,
        *pieces: bytes,
        status: int = 200,
        kind: bytes | None = b"application/json",
        headers: Sequence[tuple[bytes, bytes]] = (),
        is_whole: bool = True,
        then: Exception | None = None,
    ) -> None:
        """Answer with these pieces, then end, fail with ``then``, or go on as the test says."""
        self._status = status
        self._headers: Headers = [*headers] if kind is None else [(b"content-type", kind), *headers]
        self._pieces = pieces
        self._is_whole = is_whole
        self._then = then

    async def send(
        self,
        head: bytes,
        body: bytes | AsyncIterator[bytes],
        *,
        length: int | None = None,
        timeouts: Timeouts,
        deadline: float | None = None,
    ) -> Response:
        if not isinstance(body, bytes):
            body = b"".join([piece async for piece in body])
        self.sent.append(Sent(head, body, length, timeouts))
        self._clock.now += self.seconds
        if self.error is not None:
            raise self.error
        response = self.response = Response(self._status, self._headers, self)
        for piece in self._pieces:
            response.feed(piece)
        if self._then is not None:
            response.fail(self._then)
        elif self._is_whole:
            response.finish()
        return response

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")

    def abort(self) -> None:
        self.calls.append("abort")


class Rig:
    """A pipeline between a scripted upstream for each deployment and a recording downstream."""

    def __init__(
        self,
        *deployments: Deployment,
        facts: Mapping[str, ModelFacts] | None = None,
        routing: RoutingSettings | None = None,
        chance: float = 0.0,
        without: str | None = None,
    ) -> None:
        routing = routing or RoutingSettings()
        self.clock = Clock()
        self.metrics = Metrics("0")
        self.upstreams = {d.id: Upstream(self.clock) for d in deployments}
        self.targets = {
            d.id: Target(
                d, CODECS[d.vendor.dialect], self.upstreams[d.id], Timeouts(first_byte=60), self.metrics, facts or {}
            )
            for d in deployments
            if d.id != without
        }
        self.groups = Groups(deployments, routing)
        self.pipeline = Pipeline(
            self.groups,
            self.targets,
            default_model=routing.default_model,
            max_body_bytes=1 << 20,
            clock=self.clock,
            wall_clock=lambda: 1e9,
            chance=lambda: chance,
        )
        self.downstream = Downstream()

    @property
    def upstream(self) -> Upstream:
        return next(iter(self.upstreams.values()))

    @property
    def target(self) -> Target:
        return next(iter(self.targets.values()))

    @property
    def sent(self) -> Sent:
        """The one request that went out."""
        (sent,) = (sent for upstream in self.upstreams.values() for sent in upstream.sent)
        return sent

    @property
    def meter(self) -> DeploymentMeter:
        """The one that was counted with."""
        (meter,) = self.metrics.deployment_meters()
        return meter

    def call(self, operation: Operation = op.CHAT, headers: Mapping[bytes, bytes] | None = None, **more: Any) -> Call:
        self.downstream = Downstream()
        more = {"is_master": True} | more
        return Call(operation, self.downstream, headers or {}, b"x-request-id: r1\r\n", RECEIVED, **more)

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
