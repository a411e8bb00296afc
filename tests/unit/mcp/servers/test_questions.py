from __future__ import annotations

import pytest
from msgspec import Raw
from unit.mcp.peers import Talker

from pointsman.errors import UpstreamBroken
from pointsman.mcp.servers.questions import answered, input_required
from pointsman.wire.jsonrpc import RpcError, raw

ASKED = raw(
    {
        "resultType": "input_required",
        "inputRequests": {
            "one": {"method": "elicitation/create", "params": {"message": "?"}},
            "two": {"method": "roots/list"},
        },
        "requestState": "sealed",
    }
)
PARAMS = Raw(b'{"name":"t","arguments":{"x":  1e2},"requestState":"old","inputResponses":{"zero":{}}}')


@pytest.mark.parametrize(
    "result", [b"{}", b'{"text":"input_required"}', b'{"resultType":"input_required","inputRequests":1}', b"[]"]
)
def test_what_is_no_question_is_a_result(result: bytes) -> None:
    assert input_required(Raw(result)) is None


async def test_answers_take_the_place_of_those_before() -> None:
    asked = input_required(ASKED)
    assert asked is not None
    talker = Talker(answers={"elicitation/create": {"action": "accept"}, "roots/list": {"roots": []}})
    assert bytes(await answered(PARAMS, asked, talker)) == (
        b'{"name":"t","arguments":{"x":  1e2},'
        b'"inputResponses":{"one":{"action":"accept"},"two":{"roots":[]}},"requestState":"sealed"}'
    )
    assert talker.asked == [("elicitation/create", b'{"message":"?"}'), ("roots/list", b"")]


async def test_a_server_may_want_nothing_but_to_be_asked_again() -> None:
    asked = input_required(raw({"resultType": "input_required", "requestState": "2"}))
    assert asked is not None
    assert bytes(await answered(PARAMS, asked, Talker())) == b'{"name":"t","arguments":{"x":  1e2},"requestState":"2"}'


async def test_a_client_may_refuse_and_a_server_want_too_much() -> None:
    asked = input_required(ASKED)
    assert asked is not None
    with pytest.raises(RpcError, match="User rejected"):
        await answered(PARAMS, asked, Talker(answers={"elicitation/create": RpcError(-1, "User rejected")}))
    asked.input_requests = {str(n): asked.input_requests["two"] for n in range(17)}
    with pytest.raises(UpstreamBroken, match="too many things"):
        await answered(PARAMS, asked, Talker())
