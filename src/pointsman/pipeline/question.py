"""What one request to a routed model asks: read once, and shared by whoever decides, asks on the way, or learns."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.pipeline.call import Call
from pointsman.pipeline.wants import Wants
from pointsman.providers.codecs import INBOUND
from pointsman.routing.candidates import Facts
from pointsman.routing.groups import Match
from pointsman.routing.settings import RoutingSettings
from pointsman.wire import operations as op
from pointsman.wire.chat import ChatRequest, Text, Turn
from pointsman.wire.knobs import Knobs, knobs_of
from pointsman.wire.operations import Operation
from pointsman.wire.prompt import Prompt, prompt_of

ROUTABLE = (*op.CONVERSATIONS, *op.COUNTS)
_ID_LINE = b"x-request-id: "


@dataclass(slots=True, kw_only=True)
class Question:
    """A request to a routed model. Times are of the pipeline's clock."""

    call: Call
    match: Match
    model: str
    """What was asked for, with a knob behind it as the case may be."""
    want: Wants
    body: bytes
    """Without what is for the gateway."""
    shape: Operation
    """The operation whose body it is."""
    request: ChatRequest
    prompt: Prompt
    knobs: Knobs
    facts: Facts
    user: str
    now: float
    is_quiet: bool = False
    """Whether it is only looked at, so that nobody may be asked for it."""
    unknown: list[str] = field(default_factory=list)
    """What nobody was asked for: ``embedding``, ``evidence``."""
    trace: list[Any] = field(default_factory=list)
    """What was asked on the way, as whoever asks notes it."""

    @property
    def text(self) -> str:
        """What decides about the model."""
        return self.prompt.text

    @property
    def session(self) -> tuple[str, str, str]:
        """Under which it is remembered where this conversation went; those that say no id go by how it began."""
        if self.knobs.session is not None:
            return ("id", self.call.tenant, self.knobs.session)
        return ("opening", self.call.tenant, self.prompt.opening)

    @property
    def is_continued(self) -> bool:
        """Whether it can belong to a session that was seen before."""
        return self.knobs.session is not None or self.prompt.has_answers

    @property
    def request_id(self) -> str:
        """What the reply's ``x-request-id`` says."""
        lines = self.call.identity
        if not lines.startswith(_ID_LINE):
            return ""
        return lines[len(_ID_LINE) : lines.find(b"\r\n")].decode("latin-1")

    def about(self, text: str) -> Question:
        """The same caller's question with another text, that belongs to no session."""
        request = ChatRequest(dialect="openai", turns=[Turn(role="user", parts=[Text(text)])])
        knobs = Knobs(quality=self.knobs.quality, max_cost=self.knobs.max_cost, min_quality=self.knobs.min_quality)
        facts = msgspec.structs.replace(self.facts, needs=None)
        return replace(self, request=request, prompt=prompt_of(request), knobs=knobs, facts=facts, trace=[])


def not_routable(model: str | None) -> InvalidRequest:
    """What is no conversation has no prompt to choose a model by."""
    what = f"{(model or '')[:200]!r} chooses a model for conversations only: name a model for this path"
    return InvalidRequest(what, param="model")


def question_of(
    call: Call,
    match: Match,
    model: str,
    want: Wants,
    body: bytes,
    shape: Operation | None,
    routing: RoutingSettings,
    now: float,
) -> Question:
    """Read what a request asks.

    :raises InvalidRequest: it is no conversation, or not a valid one, or one of its knobs cannot be read
    """
    if call.operation not in ROUTABLE:
        raise not_routable(model)
    knobs, body = knobs_of(call.headers, body, want.knobs)
    named = match.knob
    if named is not None and named.quality is not None and named.quality > 1.0:
        raise InvalidRequest("What stands behind the name of a routed model is cheap, best or 0 to 1", param="model")
    shape = shape or call.operation
    request = INBOUND[shape.name].read_request(body)
    prompt = prompt_of(request)
    return Question(
        call=call,
        match=match,
        model=model,
        want=want,
        body=body,
        shape=shape,
        request=request,
        prompt=prompt,
        knobs=knobs,
        facts=Facts(
            tags=want.tags if routing.has_tag_filtering else None,
            tags_match_any=routing.tags_match_any,
            regions=want.regions,
            needs=prompt.needs,
        ),
        user=request.user or "",
        now=now,
    )
