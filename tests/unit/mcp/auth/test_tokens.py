from __future__ import annotations

from typing import Any

import pytest
from unit.mcp.auth.authorities import AWAY, NOW, TOKEN, URL, Net, grant

from pointsman.errors import UpstreamBroken, UpstreamRejected, UpstreamUnreachable
from pointsman.mcp.auth.tokens import AHEAD, ask, ends, refreshed
from pointsman.mcp.protocol.oauth import Mistrusted, Registered, Token

CLIENT = Registered(client_id="me")


async def test_a_token_is_asked_for_with_what_has_a_value() -> None:
    net = Net()
    net.tokens = [{"access_token": "canary", "expires_in": "60"}]
    token = await ask(net, TOKEN, CLIENT, {"grant_type": "x", "scope": None, "resource": URL})
    assert net.forms == [{"grant_type": "x", "resource": URL, "client_id": "me"}]
    assert ends(token, NOW) == NOW + 60


@pytest.mark.parametrize("seconds", [None, "soon", 0, -1])
def test_when_a_token_ends_may_not_be_known(seconds: Any) -> None:
    assert ends(Token(access_token="x", expires_in=seconds), NOW) is None


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


async def test_what_a_new_token_does_not_say_stays_as_it_was() -> None:
    net = Net()
    net.tokens = [{"access_token": "canary-2"}, {"access_token": "canary-3", "refresh_token": "r2", "scope": "a b"}]
    second = await refreshed(net, grant(), NOW)
    assert (second.access_token, second.refresh_token, second.scope, second.expires_at) == (
        "canary-2",
        "canary-r1",
        "read",
        None,
    )
    third = await refreshed(net, second, NOW)
    assert (third.refresh_token, third.scope) == ("r2", "a b")
    assert net.forms[0] == {"grant_type": "refresh_token", "refresh_token": "canary-r1", "resource": URL}
    assert net.headers[0]["authorization"].startswith("Basic ")


def test_a_token_is_not_shown_in_its_last_seconds() -> None:
    assert grant(expires_at=None).is_good(NOW)
    assert grant(expires_at=NOW + AHEAD + 1).is_good(NOW)
    assert not grant(expires_at=NOW + AHEAD).is_good(NOW)
