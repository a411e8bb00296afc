"""The way to a provider of batches that is in memory, or to whatever answers in its place."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any, Final

from batch_providers import KEY, BatchProvider, Dialect
from gemini_batch_provider import KEY as GEMINI_KEY
from gemini_batch_provider import GeminiBatchProvider
from message_batch_provider import KEY as MESSAGES_KEY
from message_batch_provider import MessageBatchProvider

from pointsman.batches.protocol.lines import LineRequest
from pointsman.batches.remotes.base import Order
from pointsman.pipeline.targets import Target
from pointsman.providers.base import Deployment
from pointsman.providers.registry import load_vendors
from pointsman.telemetry.metrics import Metrics
from pointsman.upstream.response import Response
from pointsman.upstream.settings import Timeouts
from pointsman.wire import operations as op
from pointsman.wire.secret import Secret

VENDORS: Final = load_vendors()
BASES: Final[Mapping[Dialect, str]] = {
    "openai": "https://api.openai.com/v1",
    "azure": "https://ours.openai.azure.com/openai/v1/",
    "anthropic": "https://api.anthropic.com/v1",
    "gemini": "https://generativelanguage.googleapis.com/v1beta",
}
KEYS: Final[Mapping[Dialect, str]] = {
    "openai": KEY,
    "azure": KEY,
    "anthropic": MESSAGES_KEY,
    "gemini": GEMINI_KEY,
}
CHAT: Final = "/v1/chat/completions"
MESSAGES: Final = "/v1/messages"
Answered = tuple[int, bytes] | tuple[int, bytes, list[tuple[str, str]]]
"""Status and body, and headers if there are any to be looked at."""
AnswerTo = Callable[[str, str, dict[str, str], bytes], Answered | Response]


class Producer:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def pause_reading(self) -> None:
        self.asked.append("pause")

    def resume_reading(self) -> None:
        self.asked.append("resume")

    def abort(self) -> None:
        self.asked.append("abort")


class Wire:
    """An upstream."""

    host_header = b"provider.test"

    def __init__(self, answer: AnswerTo) -> None:
        self.answer = answer
        self.failure: BaseException | int | None = None
        """Instead of an answer."""
        self.lost: BaseException | None = None
        """What becomes of an answer that was given."""
        self.longest = 0
        """Bytes of a piece of a body that was sent."""
        self.on_send: Callable[[], Any] = lambda: None
        self.seen: list[Any] = []
        """What ``on_send`` gave."""
        self.headers: dict[str, str] = {}
        """Of the last request."""
        self.repeatable: list[str] = []
        """Methods and targets of requests that the pool would send again after a kept connection has closed."""

    async def send(
        self, head: bytes, body: bytes | AsyncIterator[bytes], *, length: int | None = None, **_: Any
    ) -> Response:
        pieces = [body] if isinstance(body, bytes) else [piece async for piece in body]
        assert length in (None, sum(map(len, pieces)))
        self.longest = max(self.longest, *map(len, pieces))
        self.seen.append(self.on_send())
        first, *lines = head.decode().removesuffix("\r\n").split("\r\n")
        method, target, _version = first.split(" ")
        if isinstance(body, bytes):
            self.repeatable.append(f"{method} {target}")
        if isinstance(self.failure, BaseException):
            raise self.failure
        self.headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if length is not None:
            self.headers["content-length"] = str(length)
        answer = (self.failure, b"no") if self.failure else self.answer(method, target, self.headers, b"".join(pieces))
        if self.lost is not None and method == "POST":
            raise self.lost
        if isinstance(answer, Response):
            return answer
        shown = answer[2] if len(answer) == 3 else []
        response = Response(answer[0], [(name.encode(), value.encode()) for name, value in shown], Producer())
        for place in range(0, len(answer[1]), 50):
            response.feed(answer[1][place : place + 50])
        response.finish()
        return response


def provider_of(dialect: Dialect, now: Callable[[], float]) -> Any:
    """The one that speaks a dialect."""
    if dialect == "gemini":
        return GeminiBatchProvider()
    return MessageBatchProvider(now=now) if dialect == "anthropic" else BatchProvider(dialect)


def target_at(wire: Wire, dialect: Dialect = "openai") -> Target:
    """A deployment of the model ``up-1`` there."""
    deployment = Deployment(
        id="d1",
        model_name="house",
        vendor=VENDORS[dialect],
        upstream_model="up-1",
        base_url=BASES[dialect],
        credential=Secret(KEYS[dialect]),
    )
    return Target(deployment, wire, Timeouts(), Metrics("0"), {})


def order_of(*bodies: bytes, endpoint: str = CHAT, **changes: Any) -> Order:
    """A batch of these requests."""
    operation = op.MESSAGES if endpoint == MESSAGES else op.CHAT
    lines = [(at, LineRequest(f"c{at}", endpoint, operation, body)) for at, body in enumerate(bodies, 1)]

    async def requests() -> AsyncGenerator[list[tuple[int, LineRequest]]]:
        for line in lines:
            yield [line]

    async def request(number: int) -> LineRequest | None:
        return dict(lines).get(number)

    order = Order(
        mark="batch_1",
        model="house",
        endpoint=endpoint,
        headers={},
        total=len(bodies),
        fence=1,
        may_wait=True,
        now=lambda: 1000.0,
        is_mine=lambda: True,
        requests=requests,
        request=request,
    )
    return order._replace(**changes)
