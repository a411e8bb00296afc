from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from replies import Reply

from pointsman.a2a.fronts.answering import Answering
from pointsman.a2a.fronts.jsonrpc import RpcForm
from pointsman.a2a.fronts.streams import Request, Streams
from pointsman.a2a.protocol.operations import Operation
from pointsman.errors import Unseen
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.beats import Beats

Make = Callable[..., tuple[Request, Reply]]
FORM = RpcForm(1, "1.0")


@pytest.fixture
async def answering(gateway: Any, cards: Any, tasks: Tasks) -> AsyncIterator[Answering]:
    beats = Beats(3600)
    yield Answering(gateway, cards, Streams(beats, tasks, 10))
    beats.close()


async def test_what_is_refused_before_anything_was_sent_is_for_the_binding_to_tell(
    answering: Answering, gateway: Any, make_request: Make
) -> None:
    gateway.answer = Unseen()
    gateway.will_tell(Unseen())
    for operation in (Operation.GET, Operation.SUBSCRIBE):
        request, reply = make_request()
        with pytest.raises(Unseen):
            await answering.answer(request, operation, "1.0", b"{}", FORM)
        assert not reply.is_started


async def test_what_is_streamed_is_asked_as_a_stream(answering: Answering, gateway: Any, make_request: Make) -> None:
    gateway.will_tell(b"{}", None)
    request, reply = make_request()
    await answering.answer(request, Operation.STREAM, "0.3", b'{"a":1}', FORM)
    assert reply.is_stream
    (call,) = gateway.calls
    assert (call.operation, call.version, call.params, call.has_slot) == (Operation.STREAM, "0.3", b'{"a":1}', False)


@pytest.mark.requirement("a2a.extensions")
@pytest.mark.parametrize(("told", "line"), [([{"uri": "urn:x"}, {"uri": []}], b"A2A-Extensions: urn:x"), (5, b"")])
async def test_a_card_that_is_wrong_about_extensions_keeps_nobody_from_an_answer(
    answering: Answering, cards: Any, make_request: Make, told: Any, line: bytes
) -> None:
    cards.card = {"name": "x", "capabilities": {"extensions": told}}
    request, reply = make_request(headers={b"a2a-extensions": b"urn:x, urn:y"})
    await answering.answer(request, Operation.GET, "1.0", b"{}", FORM)
    assert reply.status == 200
    assert line.lower() in reply.head.lower()
