from __future__ import annotations

from typing import Any

import pytest
from unit.mcp.auth.authorities import NOW, URL, Net, grant

from pointsman.mcp.auth.tokens import AHEAD, ends, refreshed
from pointsman.wire.oauth import Token


@pytest.mark.parametrize("seconds", [None, "soon", 0, -1])
def test_when_a_token_ends_may_not_be_known(seconds: Any) -> None:
    assert ends(Token(access_token="x", expires_in=seconds), NOW) is None


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
