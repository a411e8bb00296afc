from __future__ import annotations

from typing import Any

import pytest

from pointsman.access.caller import Caller
from pointsman.mcp.base import Client
from pointsman.mcp.sessions import SESSION_SECONDS, Tokens, Unknown

ME, OTHER = Caller(name="key:1"), Caller(name="key:2")


def client(**more: Any) -> Client:
    return Client(caller=ME, era="legacy", revision="2025-06-18", session="ab" * 16, **more)


class Clock:
    time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> Tokens:
    return Tokens(b"secret", clock)


@pytest.mark.requirement("mcp.sessions")
def test_a_session_id_says_who_the_client_is_to_all_who_have_the_secret(tokens: Tokens, clock: Clock) -> None:
    told = {"roots": {"listChanged": True}, "extensions": {"x": {"y": 1}}}
    token = tokens.session(client(info={"name": "é"}, capabilities=told))
    assert token.isascii()
    assert not set(token) & set(" \t,;")
    passport = Tokens(b"secret", clock).open_session(token, ME)
    assert (passport.session, passport.revision) == ("ab" * 16, "2025-06-18")
    assert (passport.info, passport.capabilities) == ({"name": "é"}, told)
    with pytest.raises(Unknown):
        Tokens(b"other", clock).open_session(token, ME)


def test_a_session_id_does_not_tell_the_name_of_its_caller(tokens: Tokens) -> None:
    assert "key:1" not in repr(tokens.open_session(tokens.session(client()), ME))


@pytest.mark.requirement("mcp.sessions")
def test_a_session_id_is_good_for_its_caller_and_its_time(tokens: Tokens, clock: Clock) -> None:
    token = tokens.session(client())
    with pytest.raises(Unknown):
        tokens.open_session(token, OTHER)
    clock.time += SESSION_SECONDS
    tokens.open_session(token, ME)
    clock.time += 1
    with pytest.raises(Unknown):
        tokens.open_session(token, ME)


def test_no_character_of_a_token_can_be_changed(tokens: Tokens) -> None:
    session = tokens.session(client())
    state = tokens.state(ME, "d", 60, inner="inner")
    for token, opened in (
        (session, lambda text: tokens.open_session(text, ME)),
        (state, lambda text: tokens.open_state(text, ME, "d")),
    ):
        opened(token)
        for place in range(len(token)):
            with pytest.raises(Unknown):
                opened(token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :])
            with pytest.raises(Unknown):
                opened(token[:place])
            with pytest.raises(Unknown):
                opened(token[:place] + "\0" + token[place:])


def test_a_state_is_no_session_and_a_session_no_state(tokens: Tokens) -> None:
    with pytest.raises(Unknown):
        tokens.open_session(tokens.state(ME, "d", 60), ME)
    with pytest.raises(Unknown):
        tokens.open_state(tokens.session(client()), ME, "d")


def test_what_is_long_is_shortened_for_it_goes_with_every_request(tokens: Tokens) -> None:
    info = {"name": "n" * 1000, "version": "1", "icons": ["x" * 5000]}
    capabilities = {"sampling": {"tools": {}}, "roots": {}, "experimental": {"x": "y" * 5000}}
    token = tokens.session(client(info=info, capabilities=capabilities))
    assert len(token) < 2000
    passport = tokens.open_session(token, ME)
    assert passport.info == {"name": "n" * 200, "version": "1"}
    assert passport.capabilities == {"sampling": {}, "roots": {}}


@pytest.mark.parametrize("inner", ["", "s", "a~b.c", "é\ud7ff\n"])
def test_a_state_carries_that_of_the_server(tokens: Tokens, inner: str) -> None:
    state, found = tokens.open_state(tokens.state(ME, "d", 60, inner=inner, call="c", replica="r", turn=2), ME, "d")
    assert found == inner
    assert (state.call, state.replica, state.turn) == ("c", "r", 2)


def test_a_state_is_good_for_its_caller_its_request_and_its_time(tokens: Tokens, clock: Clock) -> None:
    state = tokens.state(ME, "d", 60)
    tokens.open_state(state, ME, "d")
    for caller, digest, later in ((OTHER, "d", 0), (ME, "e", 0), (ME, "d", 61)):
        clock.time = 1000.0 + later
        with pytest.raises(Unknown):
            tokens.open_state(state, caller, digest)
