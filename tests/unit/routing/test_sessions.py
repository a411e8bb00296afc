from __future__ import annotations

from pointsman.routing.sessions import Last, Sessions, ToolCalls


def test_a_session_is_found_until_it_has_been_quiet_for_long() -> None:
    sessions = Sessions(ttl=60.0)
    sessions.keep("s", "small", 9, 100.0)
    assert sessions.find("s", 159.0) == Last("small", 9, 160.0)
    assert sessions.find("s", 160.0) is None
    assert sessions.find("other", 100.0) is None


def test_each_request_prolongs_it() -> None:
    sessions = Sessions(ttl=60.0)
    sessions.keep("s", "small", 9, 100.0)
    sessions.keep("s", "large", 20, 150.0)
    assert sessions.find("s", 200.0) == Last("large", 20, 210.0)


def test_the_one_that_was_quiet_for_longest_makes_room() -> None:
    sessions = Sessions(size=2)
    for key in ("a", "b", "a", "c"):
        sessions.keep(key, "m", 0, 0.0)
    assert [key for key in "abc" if sessions.find(key, 1.0)] == ["a", "c"]
    assert len(sessions) == 2


def test_a_call_is_known_by_its_id_and_its_tenant() -> None:
    calls = ToolCalls()
    calls.keep("a", ["1", "2"], "large", 0.0)
    assert calls.find("a", ["9", "2"], 1.0) == "large"
    assert (calls.find("b", ["1"], 1.0), calls.find("a", [], 1.0), calls.find("a", ["1"], 3600.0)) == (None, None, None)


def test_an_id_that_two_models_have_given_tells_nothing() -> None:
    calls = ToolCalls()
    calls.keep("a", ["functions.f:0"], "large", 0.0)
    calls.keep("a", ["functions.f:0", "2"], "small", 1.0)
    assert calls.find("a", ["functions.f:0"], 2.0) is None
    assert calls.find("a", ["functions.f:0", "2"], 2.0) == "small"
    calls.keep("a", ["2"], "large", 4000.0)
    assert calls.find("a", ["2"], 4001.0) == "large"


def test_only_so_many_calls_are_kept() -> None:
    calls = ToolCalls(size=2)
    for ident in "123":
        calls.keep("a", [ident], "m", 0.0)
    assert (len(calls), calls.find("a", ["1"], 0.0), calls.find("a", ["3"], 0.0)) == (2, None, "m")
