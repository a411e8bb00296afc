from __future__ import annotations

from typing import Any

import msgspec
import pytest
from unit.mcp.peers import Talker

from pointsman.errors import SignInNeeded
from pointsman.mcp.auth.links import ASK, PATIENCE, is_signed_in, opened_by
from pointsman.wire.jsonrpc import RpcError

LINK = "https://gateway.test/mcp/oauth/start?ticket=x"
ABLE: dict[str, Any] = {"elicitation": {"url": {}}}


class Waiting:
    def __init__(self, *, comes: bool) -> None:
        self.comes = comes
        self.waited: list[float] = []

    async def __call__(self, patience: float) -> bool:
        self.waited.append(patience)
        return self.comes


@pytest.mark.requirement("mcp.sign-in")
@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_client_that_can_show_a_link_is_asked_to(era: Any) -> None:
    waiting, asking = Waiting(comes=True), Talker(era, {ASK: {"action": "accept"}}, capabilities=ABLE)
    assert await is_signed_in(SignInNeeded(link=LINK, arrived=waiting), asking)
    [(method, params)] = asking.asked
    told = msgspec.json.decode(params)
    assert (method, told["mode"], told["url"]) == (ASK, "url", LINK)
    # The name of an elicitation is of those revisions alone that tell of its end.
    assert ("elicitationId" in told) is (era == "legacy")
    assert waiting.waited == [PATIENCE]


@pytest.mark.parametrize(
    "answer", [{"action": "decline"}, {"action": "cancel"}, {}, {"action": 1}, RpcError(-32000, "no")]
)
async def test_a_user_who_does_not_go_is_not_waited_for(answer: Any) -> None:
    waiting, asking = Waiting(comes=True), Talker("legacy", {ASK: answer}, capabilities=ABLE)
    assert not await is_signed_in(SignInNeeded(link=LINK, arrived=waiting), asking)
    assert waiting.waited == []


async def test_one_who_does_not_come_back_is_not_signed_in() -> None:
    waiting, asking = Waiting(comes=False), Talker("legacy", {ASK: {"action": "accept"}}, capabilities=ABLE)
    assert not await is_signed_in(SignInNeeded(link=LINK, arrived=waiting), asking)


@pytest.mark.parametrize("capabilities", [{}, {"elicitation": {}}, {"elicitation": {"form": {}}}])
async def test_other_clients_are_not_asked(capabilities: dict[str, Any]) -> None:
    asking = Talker("legacy", capabilities=capabilities)
    assert not await is_signed_in(SignInNeeded(link=LINK, arrived=Waiting(comes=True)), asking)
    assert asking.asked == []


PATH = "/mcp/oauth/start?ticket=x"


@pytest.mark.requirement("mcp.sign-in")
@pytest.mark.parametrize(
    ("public_url", "headers", "link"),
    [
        ("", {b"host": b"one.example:4000"}, f"http://one.example:4000{PATH}"),
        ("https://gate.example/", {b"host": b"one.example"}, f"https://gate.example{PATH}"),
        ("https://gate.example", {}, f"https://gate.example{PATH}"),
        ("", {}, PATH),
    ],
)
def test_a_link_leads_to_where_the_gateway_is_for_whoever_asks(
    public_url: str, headers: dict[bytes, bytes], link: str
) -> None:
    kept = SignInNeeded(f"Sign in first: {PATH}", link=PATH, arrived=Waiting(comes=True))
    for _ in range(2):
        with pytest.raises(SignInNeeded) as caught, opened_by(public_url, headers), opened_by(public_url, headers):
            raise kept
        assert (caught.value.link, caught.value.message) == (link, f"Sign in first: {link}")
        assert caught.value.arrived is kept.arrived
    # What failed for one client may be told to others too.
    assert kept.link == PATH
