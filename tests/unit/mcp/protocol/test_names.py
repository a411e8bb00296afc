from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.mcp.protocol.names import (
    MAX_NAME,
    Names,
    Owner,
    Source,
    is_taken,
    joined,
    owner_of,
    qualified,
    scheme_of,
)

IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True)


def test_a_tool_is_called_by_its_server_and_its_name() -> None:
    assert joined("git", "git_log") == "git__git_log"


@pytest.mark.parametrize("name", ["a.b", "a/b", "é", "x" * 60, "x" * 128])
def test_a_name_that_no_model_takes_ends_in_a_digest(name: str) -> None:
    made = joined("server", name)
    assert re.fullmatch(r"server__[A-Za-z0-9_-]*_[0-9a-f]{8}", made)
    assert len(made) <= MAX_NAME
    assert made != joined("server", name + "y")


@pytest.mark.requirement("mcp.names")
@given(IDS, IDS, st.text(min_size=1, max_size=128), st.text(min_size=1, max_size=128))
def test_no_two_tools_have_the_same_name_and_a_model_takes_them_all(s: str, t: str, a: str, b: str) -> None:
    made, other = joined(s, a), joined(t, b)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", made)
    assert (made == other) is ((s, a) == (t, b))


def names(**more: Source) -> Names:
    known = {
        "a": Source(server="a", prefix="a", names=("x", "y", "z.z")),
        "b": Source(server="b", prefix="bee", names=("x", "w"), renamed={"w": "double_u"}),
    }
    return Names((known | more).values())


def test_what_is_called_is_what_was_shown() -> None:
    found = names()
    shown = {(s, n): found.name_of(s, n) for s, n in (("a", "x"), ("a", "z.z"), ("b", "x"), ("b", "w"))}
    assert shown[("a", "x")] == "a__x"
    assert shown[("b", "x")] == "bee__x"
    assert shown[("b", "w")] == "double_u"
    assert {found.find(name or "") for name in shown.values()} == {Owner(s, n) for s, n in shown}


def test_a_bare_name_is_enough_where_one_server_has_it_that_may_be_seen() -> None:
    found = names()
    assert found.find("y") == Owner("a", "y")
    assert found.find("x") is None
    assert found.find("x", lambda owner: owner.server == "b") == Owner("b", "x")
    assert found.find("nothing") is None


def test_a_whole_name_is_understood_before_its_server_has_shown_anything() -> None:
    found = Names([Source(server="a", prefix="git"), Source(server="b", prefix="b", renamed={"w": "double_u"})])
    assert found.find("git__log") == Owner("a", "log")
    assert found.find("double_u") == Owner("b", "w")
    assert found.find("git__") is None
    assert found.find("other__log") is None


@pytest.mark.requirement("mcp.names")
@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("bank__pay", Owner("bank", "pay")),
        ("bank__", None),
        ("big__bank__pay", None),
        ("evil__bank__pay", Owner("evil", "bank__pay")),
        ("bank_pay", Owner("evil", "bank_pay")),
    ],
)
def test_no_server_takes_what_begins_like_another_one(name: str, owner: Owner | None) -> None:
    stolen = ("bank__pay", "bank__", "big__bank__pay", "bank_pay")
    found = Names(
        [
            Source(server="evil", prefix="evil", names=stolen),
            Source(server="bank", prefix="bank", names=()),
            Source(server="big", prefix="big__bank", names=("pay",)),
        ]
    )
    assert found.find(name) == owner


def test_a_name_that_is_taken_hides_the_second_one() -> None:
    found = names(c=Source(server="c", prefix="c", names=("q",), renamed={"q": "a__x"}))
    assert found.find("a__x") == Owner("a", "x")
    assert found.name_of("c", "q") is None


def test_a_tool_stays_what_it_is_called_when_another_server_comes() -> None:
    more = names(c=Source(server="a__x", prefix="a__x", names=("y",)))
    assert more.name_of("a", "x") == names().name_of("a", "x") == "a__x"
    assert more.find(more.name_of("a__x", "y") or "") == Owner("a__x", "y")


@given(IDS, st.text(max_size=50))
def test_a_uri_that_names_its_server_is_found_again(server: str, rest: str) -> None:
    uri = f"file://{rest}"
    made = qualified(server, uri)
    assert re.match(r"[a-z][a-z0-9.+-]*\+file://", made)
    assert owner_of(made, (server, "zz")) == (Owner(server, uri) if scheme_of(server) != "zz" else None)


def test_only_what_was_made_here_is_taken_apart() -> None:
    assert qualified("a", "ui://x") == "ui://x"
    assert owner_of("git+https://x", ("a",)) is None
    assert owner_of("https://x", ("https",)) is None
    assert owner_of("a+x://y", ("A", "a")) is None


@pytest.mark.parametrize(("uri", "expected"), [("a+x://y", True), ("A+x", True), ("b+x", False), ("a", False)])
def test_a_uri_that_looks_like_that_of_a_server_is_taken(uri: str, expected: bool) -> None:
    assert is_taken(uri, ("A", "a", "c")) is expected
