from __future__ import annotations

import pytest
from unit.mcp.peers import Talker

from pointsman.access.caller import KEY_HEADERS
from pointsman.mcp.servers.profile import Profile


def test_only_headers_that_were_named_are_passed_on_and_none_of_the_protocol() -> None:
    profile = Profile(name="a", info={}, forward=("X-Team", "x-missing", "Mcp-Session-Id", "Mcp-Param-A", "Host"))
    headers = {
        b"x-team": b"\xe4",
        b"x-other": b"1",
        b"mcp-session-id": b"s",
        b"mcp-param-a": b"a",
        b"host": b"h",
        b"authorization": b"Bearer secret",
    }
    assert profile.forwarded(Talker(headers=headers).client) == {"x-team": "ä"}


def test_connections_learn_apart_unless_they_are_given_one_memory() -> None:
    assert Profile(name="a", info={}).mirrors is not Profile(name="a", info={}).mirrors


@pytest.mark.requirement("mcp.no-token-passthrough")
def test_what_may_be_the_key_of_this_gateway_is_never_shown_to_a_server() -> None:
    headers = dict.fromkeys((*KEY_HEADERS, b"cookie"), b"sk-canary")
    profile = Profile(name="a", info={}, forward=tuple(name.decode().title() for name in headers))
    assert profile.forwarded(Talker(headers=headers).client) == {}
