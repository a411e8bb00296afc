from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.access.grants import NO_GRANTS, Grants, grants_of, is_any
from pointsman.access.keys import ObjectPermission


def said(**members: Any) -> ObjectPermission:
    return ObjectPermission(**members)


def test_nothing_is_granted_unless_somebody_says_so() -> None:
    assert grants_of((None, said(), said(mcp_servers=()))) is NO_GRANTS
    assert not NO_GRANTS.has("a", ())


@pytest.mark.parametrize(
    ("permission", "servers"),
    [
        (said(mcp_servers=("a",)), {"a"}),
        (said(mcp_access_groups=("g",)), {"b"}),
        (said(mcp_servers=("a",), mcp_access_groups=("g",)), {"a", "b"}),
        (said(mcp_tool_permissions={"c": ("t",)}), {"c"}),
        (said(mcp_servers=("*",)), {"a", "b", "c"}),
        (said(mcp_servers=("all-proxy-mcpservers",)), {"a", "b", "c"}),
        (said(mcp_servers=("no-mcp-servers",)), set()),
        (said(mcp_servers=("no-mcp-servers", "a", "*"), mcp_access_groups=("g",)), set()),
    ],
)
def test_servers_are_granted_by_id_by_group_by_their_tools_or_all(
    permission: ObjectPermission, servers: set[str]
) -> None:
    groups = {"a": (), "b": ("g", "h"), "c": ()}
    grants = grants_of((permission,))
    assert {one for one in groups if grants.has(one, groups[one])} == servers


def test_what_several_say_has_to_be_allowed_by_all_of_them() -> None:
    grants = grants_of((said(mcp_servers=("a", "b")), None, said(mcp_servers=("b", "c"))))
    assert [one for one in "abc" if grants.has(one, ())] == ["b"]


def test_tools_are_bound_where_somebody_names_them_and_by_all_who_do() -> None:
    mine = said(mcp_servers=("a", "b"), mcp_tool_permissions={"a": ("get_*", "put_x")})
    team = said(mcp_servers=("*",), mcp_tool_permissions={"a": ("*_x",)})
    grants = grants_of((mine, team))
    assert [one for one in ("get_x", "get_y", "put_x", "put_y") if grants.allows("a", one)] == ["get_x", "put_x"]
    assert grants.allows("b", "anything")
    assert not grants_of((said(mcp_tool_permissions={"a": ()}),)).allows("a", "t")


def test_what_is_blocked_stays_so_whoever_allows_it() -> None:
    grants = grants_of(
        (said(mcp_servers=("*",), mcp_tool_permissions={"a": ("t",)}), said(blocked_tools=("t", "b__u*")))
    )
    assert grants.blocks("a", "t")
    assert not grants.allows("a", "t")
    assert (grants.allows("b", "u1"), grants.allows("c", "u1")) == (False, True)
    assert grants.has("a", ())


def test_a_key_that_was_made_by_one_that_may_nothing_may_nothing() -> None:
    assert not grants_of((said(mcp_servers=("a",)), None), is_within=True).has("a", ())
    assert not grants_of((None,), is_within=True).has("a", ())


@pytest.mark.requirement("mcp.grants")
@pytest.mark.parametrize(
    ("wanted", "is_covered"),
    [
        (None, False),
        (said(), False),
        (said(mcp_servers=("a",), mcp_tool_permissions={"a": ("get_x",)}), True),
        (said(mcp_tool_permissions={"a": ("get_*",)}), True),
        (said(mcp_tool_permissions={"a": ("*",)}), False),
        (said(mcp_servers=("a",)), False),
        (said(mcp_servers=("b",)), True),
        (said(mcp_servers=("c",)), False),
        (said(mcp_servers=("*",)), False),
        (said(mcp_access_groups=("g",)), False),
        (said(mcp_access_groups=("g",), mcp_tool_permissions={"a": ("get_x",)}), True),
        (said(mcp_access_groups=("h",), mcp_tool_permissions={"a": ("get_x",)}), False),
    ],
)
def test_nobody_grants_more_than_he_has(wanted: ObjectPermission | None, is_covered: bool) -> None:
    mine = said(mcp_servers=("b",), mcp_access_groups=("g",), mcp_tool_permissions={"a": ("get_*",)})
    assert grants_of((mine,)).covers(wanted, mine) is is_covered
    assert grants_of((mine,)).covers(mine, mine)


def test_none_is_less_than_anything_and_more_than_nothing_else() -> None:
    none = said(mcp_servers=("no-mcp-servers", "a"))
    assert grants_of((said(mcp_servers=("a",)),)).covers(none, None)
    assert not grants_of((none,)).covers(said(mcp_servers=("a",)), None)


def test_whoever_has_no_grants_of_his_own_grants_what_those_above_him_have() -> None:
    team = said(mcp_servers=("a", "b"))
    above = grants_of((None, team))
    assert above.covers(None, None)
    assert above.covers(said(mcp_servers=("a",)), None)
    assert not above.covers(said(mcp_servers=("c",)), None)
    assert not NO_GRANTS.covers(said(mcp_servers=("a",)), None)


def test_all_but_some_tools_of_one_is_not_all() -> None:
    mine = said(mcp_servers=("*",), mcp_tool_permissions={"a": ("t",)})
    grants = grants_of((mine,))
    assert grants.covers(said(mcp_servers=("b",)), mine)
    assert not grants.covers(said(mcp_servers=("*",)), mine)
    assert grants.covers(said(mcp_servers=("*",), mcp_tool_permissions={"a": ("t",)}), mine)


def test_what_is_blocked_for_the_maker_is_blocked_for_what_he_makes() -> None:
    mine = said(blocked_tools=("t",))
    assert not Grants(blocked=("t",)).covers(None, mine)
    assert Grants(blocked=("t",)).covers(said(blocked_tools=("t", "u")), mine)


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("t", "t", True),
        ("t", "tt", False),
        ("*", "", True),
        ("a*", "a", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("*b*", "abc", True),
        ("a*b*c", "aXbYc", True),
        ("a*b*c", "aXcYb", False),
        ("a*b*b", "ab", False),
    ],
)
def test_a_star_stands_for_anything(pattern: str, name: str, fits: bool) -> None:
    assert is_any((pattern,), name) is fits


@given(st.lists(st.text("ab", max_size=3), max_size=4), st.lists(st.text("ab*", max_size=3), max_size=5))
def test_a_pattern_fits_what_it_was_made_for(parts: list[str], more: list[str]) -> None:
    filled = "".join(part + other.replace("*", "a") for part, other in zip(parts, [*more, *[""] * 4], strict=False))
    assert is_any(("*".join(["", *parts, ""]),), filled) or not parts


def test_a_pattern_with_many_stars_is_answered_at_once() -> None:
    # By going back at each star this would take longer than anybody waits.
    assert not is_any(("a*" * 100 + "b",), "a" * 10_000)


# -- agents -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("a2a.grants")
@pytest.mark.parametrize(
    ("permission", "agents"),
    [
        (said(agents=("a",)), {"a"}),
        (said(agent_access_groups=("g",)), {"b"}),
        (said(agent_operations={"c": ("get",)}), {"c"}),
        (said(agents=("*",)), {"a", "b", "c"}),
        (said(agents=("no-agents", "a")), set()),
        (said(mcp_servers=("*",)), set()),
    ],
)
def test_agents_are_granted_as_servers_are_and_apart_from_them(permission: ObjectPermission, agents: set[str]) -> None:
    groups = {"a": (), "b": ("g", "h"), "c": ()}
    grants = grants_of((permission, said(mcp_servers=("x",))))
    assert {one for one in groups if grants.agents.has(one, groups[one])} == agents
    assert not grants.has("a", ("g",))


def test_what_several_say_of_agents_has_to_be_allowed_by_all_of_them() -> None:
    rows = (said(agents=("a", "b")), said(agents=("b",), agent_operations={"a": ("get",)}), said(mcp_servers=("x",)))
    agents = grants_of(rows).agents
    assert [one for one in "abc" if agents.has(one, ())] == ["a", "b"]
    assert (agents.allows("a", "get"), agents.allows("a", "send"), agents.allows("b", "send")) == (True, False, True)


@pytest.mark.requirement("a2a.grants")
@pytest.mark.parametrize(
    ("wanted", "is_covered"),
    [
        (None, False),
        (said(agents=("b",)), True),
        (said(agents=("a",)), False),
        (said(agent_operations={"a": ("get",)}), True),
        (said(agent_operations={"a": ("send",)}), False),
        (said(agents=("c",)), False),
        (said(agents=("*",)), False),
        (said(agents=("b",), mcp_servers=("x",)), False),
    ],
)
def test_nobody_grants_more_agents_than_he_has(wanted: ObjectPermission | None, is_covered: bool) -> None:
    mine = said(agents=("b",), agent_operations={"a": ("get*",)})
    assert grants_of((mine,)).covers(wanted, mine) is is_covered
    assert not NO_GRANTS.covers(wanted, mine)


def test_a_key_that_was_made_by_one_that_may_ask_none_may_ask_none() -> None:
    assert not grants_of((said(agents=("a",)), None), are_agents_within=True).agents.has("a", ())
    servers_only = grants_of((said(agents=("a",)), None), is_within=True)
    assert servers_only.agents.has("a", ())
