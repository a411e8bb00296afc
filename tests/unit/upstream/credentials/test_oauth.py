from __future__ import annotations

from typing import Any

import pytest
from unit.mcp.auth.authorities import AWAY, TOKEN, URL, Net

from pointsman.errors import UpstreamBroken, UpstreamRejected, UpstreamUnreachable
from pointsman.upstream.credentials.oauth import Asker, ask
from pointsman.wire.oauth import Mistrusted, Registered

CLIENT = Registered(client_id="me")


async def test_a_token_is_asked_for_with_what_has_a_value() -> None:
    net = Net()
    net.tokens = [{"access_token": "canary", "expires_in": "60"}]
    token = await ask(net, TOKEN, CLIENT, {"grant_type": "x", "scope": None, "resource": URL})
    assert net.forms == [{"grant_type": "x", "resource": URL, "client_id": "me"}]
    assert token.lasts() == 60.0


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((400, {"error": "invalid_grant"}), UpstreamRejected),
        ((302, None), UpstreamRejected),
        ((500, None), UpstreamUnreachable),
        ({"token": "x"}, UpstreamBroken),
        (b"access_token=x", UpstreamBroken),
        ({"access_token": "x", "token_type": "DPoP"}, Mistrusted),
        ({"access_token": "x\r\ny: z"}, Mistrusted),
        ({"access_token": ""}, Mistrusted),
        (AWAY, UpstreamUnreachable),
    ],
)
async def test_what_is_no_token_is_a_failure(answer: Any, kind: type[Exception]) -> None:
    net = Net()
    net.tokens = [answer]
    with pytest.raises(kind):
        await ask(net, TOKEN, CLIENT, {"grant_type": "x"})


async def test_a_refusal_is_told_by_the_word_for_it_alone() -> None:
    net = Net()
    net.tokens = [(400, {"error": "invalid_grant", "error_description": "canary"})]
    with pytest.raises(UpstreamRejected, match="gave no token: invalid_grant") as caught:
        await ask(net, TOKEN, CLIENT, {})
    assert "canary" not in f"{caught.value.message} {caught.value.operator_detail}"


async def test_a_secret_is_shown_in_the_other_way_where_the_first_is_not_liked() -> None:
    net, asker = Net(), Asker()
    client = Registered(client_id="me", client_secret="canary")
    net.tokens = [(401, {"error": "invalid_client"}), {"access_token": "a"}, {"access_token": "b"}]
    assert (await asker.ask(net, TOKEN, client, {})).access_token == "a"
    assert (await asker.ask(net, TOKEN, client, {})).access_token == "b"
    assert [("client_secret" in form) for form in net.forms] == [False, True, True]


async def test_where_none_is_liked_the_first_refusal_counts() -> None:
    net = Net()
    net.tokens = [(401, {"error": "invalid_client"}), (400, {"error": "other"})]
    with pytest.raises(UpstreamRejected, match="invalid_client"):
        await Asker().ask(net, TOKEN, Registered(client_id="me", client_secret="canary"), {})
