from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.access.caller import MASTER, NOBODY, Caller, Role
from pointsman.access.grants import grants_of
from pointsman.access.keys import Key, Member, ModelBudget, ObjectPermission, Team, UserRole
from pointsman.access.policy import (
    ADMIN_FIELDS,
    LABELS,
    POLICY,
    ROLES,
    ROUTE_GROUPS,
    Access,
    acts_for,
    groups_of,
    has_same_rights,
    is_route_allowed,
    may_call,
    may_grant,
    may_label,
    may_make_for,
    may_raise,
    may_set,
    may_speak,
    owns,
    sees,
    unknown_route,
)

CALLING = {Access.MODELS, Access.FILES, Access.MCP, Access.A2A}
SOON, LATER = datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 12, 1, tzinfo=UTC)


def caller(role: Role = "key", row_id: str = "mine", **terms: Any) -> Caller:
    return Caller(name=role, role=role, id=row_id, key=Key(**{"user_id": "u", **terms}))


def test_every_kind_of_route_has_a_policy_and_the_master_may_do_everything() -> None:
    assert set(POLICY) == set(Access)
    assert all("master" in roles for roles in POLICY.values())


def test_nobody_gets_in_anywhere_but_where_it_is_public() -> None:
    assert [kind for kind in Access if "none" in POLICY[kind]] == [Access.PUBLIC]


def test_whoever_only_reads_changes_nothing_and_spends_nothing() -> None:
    changing = {*CALLING, Access.KEYS, Access.TEAM, Access.ADMIN, Access.MASTER}
    assert not {kind for kind in changing if "read_only" in POLICY[kind]}


def test_an_ordinary_key_may_neither_see_nor_change_what_is_not_its_own() -> None:
    allowed = {kind for kind in Access if "key" in POLICY[kind]}
    assert allowed == {Access.PUBLIC, *CALLING, Access.LIST, Access.CARD, Access.OWN, Access.KEYS}


def test_each_role_stands_in_the_table() -> None:
    assert set(ROLES) == set().union(*POLICY.values())


# -- allowed_routes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowed", "path", "kind", "is_allowed"),
    [
        (("/v1/chat/completions",), "/v1/chat/completions", Access.MODELS, True),
        (("/v1/chat/completions",), "/chat/completions", Access.MODELS, False),
        (("/v1/chat/completions",), "/v1/chat/completions/more", Access.MODELS, False),
        (("llm_api_routes",), "/v1/embeddings", Access.MODELS, True),
        (("llm_api_routes",), "/key/generate", Access.KEYS, False),
        (("info_routes",), "/key/info", Access.OWN, True),
        (("info_routes",), "/v1/embeddings", Access.MODELS, False),
        (("management_routes",), "/config/reload", Access.MASTER, False),
        (("/spend/*",), "/spend/logs", Access.OWN, True),
        (("/spend/*",), "/spend", Access.OWN, False),
        (("/spend/*",), "/spending/logs", Access.OWN, False),
    ],
)
def test_allowed_routes_are_paths_groups_and_beginnings(
    allowed: tuple[str, ...], path: str, kind: Access, is_allowed: bool
) -> None:
    assert is_route_allowed(allowed, path, groups_of(kind)) is is_allowed


@pytest.mark.parametrize(
    ("routes", "may"),
    [((), True), (("agent_routes",), True), (("/a2a/*",), True), (("/v1/chat/completions", "mcp_routes"), False)],
)
def test_whoever_may_speak_to_agents_may_so_wherever_one_is_asked_for(routes: tuple[str, ...], may: bool) -> None:
    assert may_speak(Caller(name="key:me", role="key", key=Key(account="k", allowed_routes=routes))) is may
    assert not may_speak(NOBODY)


def test_what_is_neither_a_path_nor_a_group_is_found() -> None:
    assert unknown_route(["/v1/models", "llm_api_routes", "/spend/*"]) is None
    assert [unknown_route([one]) for one in ("admin", "*", "/a*", "/*/b", "")] == ["admin", "*", "/a*", "/*/b", ""]


# -- whose ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "key", "does_see", "does_own"),
    [
        (MASTER, Key(user_id="x"), True, True),
        (caller("admin"), Key(user_id="x"), True, True),
        (caller("read_only"), Key(user_id="x"), True, False),
        (caller("key"), Key(user_id="u"), True, True),
        (caller("key"), Key(user_id="x"), False, False),
        (caller("key", user_id=None), Key(), False, False),
        (caller("key", is_plain=True), Key(user_id="u"), False, False),
        (caller("key", team_id="t"), Key(user_id="x", team_id="t"), False, False),
        (caller("team_admin", team_id="t"), Key(user_id="x", team_id="t"), True, True),
        (caller("team_admin", team_id="t"), Key(user_id="x", team_id="s"), False, False),
        (NOBODY, Key(), False, False),
    ],
)
def test_a_key_is_seen_and_changed_by_whom_it_belongs_to(who: Caller, key: Key, does_see: bool, does_own: bool) -> None:
    assert (sees(who, "theirs", key), owns(who, key)) == (does_see, does_own)


def test_a_key_without_a_user_sees_itself_and_cannot_change_itself() -> None:
    who = caller("key", user_id=None)
    assert who.key is not None
    assert sees(who, "mine", who.key)
    assert not owns(who, who.key)


# -- what may be granted ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("access.grants")
@pytest.mark.parametrize(
    ("mine", "wanted", "param"),
    [
        ({"max_budget": Decimal(10)}, {"max_budget": Decimal(11)}, "max_budget"),
        ({"max_budget": Decimal(10)}, {}, "max_budget"),
        ({"max_budget": Decimal(10)}, {"max_budget": Decimal(1), "budget_duration": "1d"}, "budget_duration"),
        (
            {"max_budget": Decimal(10), "budget_duration": "30d"},
            {"max_budget": Decimal(10), "budget_duration": "1d"},
            "budget_duration",
        ),
        ({"rpm_limit": 5}, {"rpm_limit": 6}, "rpm_limit"),
        ({"rpm_limit": 5}, {}, "rpm_limit"),
        ({"tpm_limit": 5}, {"tpm_limit": 6}, "tpm_limit"),
        ({"tpd_limit": 5}, {}, "tpd_limit"),
        ({"max_parallel_requests": 1}, {"max_parallel_requests": 2}, "max_parallel_requests"),
        ({"expires": SOON}, {"expires": LATER}, "expires"),
        ({"expires": SOON}, {}, "expires"),
        ({"models": ("a",)}, {"models": ("a", "b")}, "models"),
        ({"models": ("a",)}, {}, "models"),
        ({"models": ("a",)}, {"models": ("*",)}, "models"),
        ({"model_rpm_limit": {"a": 1}}, {"model_rpm_limit": {"a": 2}}, "model_rpm_limit"),
        ({"model_tpm_limit": {"a": 1}}, {"model_tpm_limit": {"b": 1}}, "model_tpm_limit"),
        (
            {"model_max_budget": {"a": ModelBudget(max_budget=Decimal(1))}},
            {"model_max_budget": {"a": ModelBudget(max_budget=Decimal(2))}},
            "model_max_budget",
        ),
        ({"model_max_budget": {"a": ModelBudget(max_budget=Decimal(1))}}, {}, "model_max_budget"),
        ({"budget_limits": (ModelBudget(max_budget=Decimal(1)),)}, {}, "budget_limits"),
        ({"allowed_routes": ("/v1/models",)}, {"allowed_routes": ("/v1/models", "/key/generate")}, "allowed_routes"),
        ({"allowed_routes": ("llm_api_routes", "/key/generate")}, {}, "allowed_routes"),
        ({"allowed_routes": ("/key/*",)}, {"allowed_routes": ("/*",)}, "allowed_routes"),
        ({"allowed_routes": ("info_routes",)}, {"allowed_routes": ("management_routes",)}, "allowed_routes"),
        ({}, {"user_id": "x"}, "user_id"),
        ({}, {"user_id": None}, "user_id"),
        ({"team_id": "t"}, {}, "team_id"),
        ({}, {"team_id": "t"}, "team_id"),
        ({}, {"organization_id": "o"}, "organization_id"),
        ({"parent": "p"}, {}, None),
    ],
)
def test_a_key_never_grants_more_than_it_has(mine: dict[str, Any], wanted: dict[str, Any], param: str | None) -> None:
    refused = may_grant(caller(**mine), Key(**{"user_id": "u", **wanted}))
    assert refused is not None
    assert refused.param == param


@pytest.mark.parametrize(
    ("mine", "wanted"),
    [
        ({}, {"max_budget": Decimal(10**6), "models": ("a",)}),
        ({"max_budget": Decimal(10), "budget_duration": "1d"}, {"max_budget": Decimal(10), "budget_duration": "1d"}),
        ({"max_budget": Decimal(10), "budget_duration": "1d"}, {"max_budget": Decimal(10)}),
        ({"models": ("a", "b/*")}, {"models": ("a", "b/c")}),
        (
            {"allowed_routes": ("management_routes",)},
            {"allowed_routes": ("key_management_routes", "management_routes")},
        ),
        ({"allowed_routes": ("/key/*",)}, {"allowed_routes": ("/key/info",)}),
        ({"expires": LATER}, {"expires": SOON}),
    ],
)
def test_a_key_grants_what_it_has(mine: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert may_grant(caller(**mine), Key(**{"user_id": "u", **wanted})) is None


@given(
    mine=st.one_of(st.none(), st.integers(0, 5)),
    wanted=st.one_of(st.none(), st.integers(0, 5)),
    name=st.sampled_from(["rpm_limit", "tpm_limit", "tpd_limit", "max_parallel_requests", "max_budget"]),
)
def test_none_is_the_widest_limit(mine: int | None, wanted: int | None, name: str) -> None:
    def most(value: int | None) -> float:
        return float("inf") if value is None else value

    has: dict[str, Any] = {name: mine}
    asks: dict[str, Any] = {"user_id": "u", name: wanted}
    refused = may_grant(caller(**has), Key(**asks))
    assert (refused is None) == (most(wanted) <= most(mine))


@pytest.mark.parametrize(
    ("who", "role", "is_refused"),
    [
        (MASTER, "admin", False),
        (caller("admin"), "admin", False),
        (caller("admin"), "read_only", False),
        (caller("admin"), "master", True),
        (caller("team_admin"), "admin", True),
        (caller("team_admin"), "read_only", True),
        (caller("team_admin"), "key", False),
        (caller("key"), "admin", True),
        (caller("key"), "team_admin", True),
        (caller("read_only"), "key", True),
        (NOBODY, "key", True),
    ],
)
def test_no_key_grants_a_role_above_its_own(who: Caller, role: Role, is_refused: bool) -> None:
    assert (may_grant(who, Key(user_id="u"), role) is not None) is is_refused


def test_an_admin_whose_key_is_for_some_routes_cannot_make_one_for_more() -> None:
    who = caller("admin", allowed_routes=("/key/generate",), max_budget=Decimal(1))
    assert may_grant(who, Key(user_id="anybody", allowed_routes=("/key/generate",))) is None
    refused = may_grant(who, Key(user_id="anybody"))
    assert refused is not None
    assert refused.param == "allowed_routes"


def test_an_admin_of_a_team_makes_keys_of_its_members_within_his_own_limits() -> None:
    who = caller("team_admin", team_id="t", rpm_limit=5)
    assert may_grant(who, Key(user_id="x", team_id="t", rpm_limit=5)) is None
    assert may_grant(who, Key(user_id="x", team_id="t")) is not None
    assert may_grant(who, Key(user_id="x", team_id="s", rpm_limit=5)) is not None


@pytest.mark.parametrize("name", sorted(ADMIN_FIELDS))
def test_some_members_are_for_admins(name: str) -> None:
    assert may_set(caller("key"), ["models", name]) is not None
    assert may_set(caller("team_admin"), [name]) is not None
    assert may_set(caller("admin"), [name]) is None
    assert may_set(MASTER, [name]) is None


def test_each_member_of_a_key_is_compared_refused_or_harmless() -> None:
    """A member that comes later must be thought of here."""
    compared = {
        *("models", "max_budget", "budget_duration", "budget_limits", "model_max_budget", "rpm_limit", "tpm_limit"),
        *("tpd_limit", "max_parallel_requests", "model_rpm_limit", "model_tpm_limit", "expires", "allowed_routes"),
        *("user_id", "team_id", "organization_id", "parent", "object_permission"),
    }
    not_from_outside = {
        *(
            "created_at",
            "created_by",
            "updated_at",
            "updated_by",
            "spent_from",
            "account",
            "form",
            "is_plain",
            "replaces",
        ),
        "key_name",
    }
    harmless = {"aliases"}
    members = {one.name for one in msgspec.structs.fields(Key)}
    assert members == compared | not_from_outside | harmless | LABELS | (ADMIN_FIELDS - {"key"})


def test_groups_of_routes_never_hold_what_belongs_to_the_operator() -> None:
    assert not any(Access.MASTER in kinds for kinds in ROUTE_GROUPS.values())


def test_a_token_makes_no_keys_unless_it_is_an_admins() -> None:
    refused = may_grant(caller(row_id=""), Key(user_id="u"))
    assert refused is not None
    assert "token" in refused.reason
    assert may_grant(caller("admin", row_id=""), Key(user_id="v")) is None


def test_a_key_that_somebody_else_has_made_for_a_user_does_not_act_for_him() -> None:
    assert acts_for(caller(is_plain=True)) is None
    assert acts_for(caller()) == "u"
    assert acts_for(MASTER) is None
    assert may_grant(caller(is_plain=True), Key(user_id="u")) is not None


@pytest.mark.requirement("access.grants")
def test_an_admin_of_a_team_makes_keys_for_its_members_himself_and_nobody_in_particular() -> None:
    chief, team = caller("team_admin", team_id="t"), Team(members_with_roles=(Member(user_id="m"),))
    made = {name: may_make_for(chief, Key(user_id=name, team_id="t"), team) for name in ("m", "u", None, "x")}
    assert {name for name, refused in made.items() if refused is not None} == {"x"}
    assert may_make_for(chief, Key(user_id="m"), None) is not None
    for who in (MASTER, caller("admin"), caller("key")):
        assert may_make_for(who, Key(user_id="x"), team) is None


@pytest.mark.requirement("access.grants")
@pytest.mark.parametrize(
    ("role", "expires", "is_refused"),
    [
        ("admin", LATER, True),
        ("admin", None, True),
        ("read_only", None, True),
        ("admin", SOON, False),
        ("key", None, False),
        ("team_admin", None, False),
    ],
)
def test_the_key_of_an_admin_ends_with_the_one_that_makes_it(
    role: Role, expires: datetime | None, is_refused: bool
) -> None:
    who, wanted = caller("admin", expires=SOON), Key(user_id="u", expires=expires)
    for is_own in (True, False):
        refused = may_grant(who, wanted, role, is_own=is_own)
        assert (refused is not None and refused.param == "expires") is is_refused
    assert may_grant(caller("admin"), wanted, role) is None


@pytest.mark.requirement("access.grants")
@pytest.mark.parametrize("terms", [{"allowed_routes": ("/user/*",)}, {"expires": SOON}])
def test_only_an_admin_without_bounds_makes_others_admins(terms: dict[str, Any]) -> None:
    roles: tuple[UserRole, ...] = ("proxy_admin", "proxy_admin_viewer", "internal_user")
    assert [may_raise(caller("admin", **terms), role) is not None for role in roles] == [True, True, False]
    for who in (MASTER, caller("admin")):
        assert not any(may_raise(who, role) for role in roles)


@pytest.mark.parametrize("name", sorted(LABELS))
def test_what_its_spend_is_told_by_is_not_a_keys_own_to_say(name: str) -> None:
    refused = may_label(caller(), Key(user_id="u"), ["models", name])
    assert refused is not None
    assert refused.param == name
    assert may_label(caller(), Key(user_id="u"), ["models"]) is None
    assert may_label(caller(), Key(user_id="u", parent="mine"), [name]) is None
    for who in (MASTER, caller("admin"), caller("team_admin")):
        assert may_label(who, Key(user_id="u"), [name]) is None


def test_what_a_key_makes_has_its_tags() -> None:
    who = caller(tags=("billing:a",))
    assert may_grant(who, Key(user_id="u", parent="mine", tags=("billing:a", "more"))) is None
    refused = may_grant(who, Key(user_id="u", parent="mine", tags=("billing:b",)))
    assert refused is not None
    assert refused.param == "tags"


@pytest.mark.requirement("mcp.grants")
def test_a_key_grants_no_server_that_it_may_not_use_itself() -> None:
    mine = ObjectPermission(mcp_servers=("a", "b"))
    creator = msgspec.structs.replace(caller(object_permission=mine), grants=grants_of((mine,)))
    for servers, is_granted in ((("a",), True), (("a", "c"), False), (("*",), False), ((), False)):
        wanted = Key(user_id="u", object_permission=ObjectPermission(mcp_servers=servers))
        assert (may_grant(creator, wanted) is None) is is_granted
    refused = may_grant(caller(), Key(user_id="u", object_permission=mine))
    assert refused is not None
    assert refused.param == "object_permission"
    assert may_grant(caller("admin"), Key(user_id="v", object_permission=mine)) is None


@pytest.mark.parametrize(
    ("route", "is_allowed"),
    [("mcp_routes", True), ("/mcp", True), ("/mcp/*", False), ("llm_api_routes", True), ("openai_routes", False)],
)
def test_a_key_calls_what_its_routes_allow(route: str, is_allowed: bool) -> None:
    assert may_call(caller(allowed_routes=(route,)), Access.MCP, "/mcp") is is_allowed


@pytest.mark.parametrize(
    ("route", "is_allowed"),
    [("agent_routes", True), ("/a2a/*", True), ("llm_api_routes", True), ("mcp_routes", False), ("info_routes", False)],
)
def test_a_key_asks_agents_where_its_routes_allow(route: str, is_allowed: bool) -> None:
    assert may_call(caller(allowed_routes=(route,)), Access.A2A, "/a2a/agents/{agent_id}") is is_allowed


@pytest.mark.parametrize(
    "now",
    [
        Caller(name="y"),
        Caller(name="x", role="admin"),
        Caller(name="x", grants=grants_of((ObjectPermission(mcp_servers=("a",)),))),
        Caller(name="x", key=Key(allowed_routes=("/v1/models",))),
    ],
)
def test_another_role_or_less_to_call_are_other_rights(now: Caller) -> None:
    before = Caller(name="x", key=Key())
    assert has_same_rights(Caller(name="x", key=Key(max_budget=Decimal(1))), before)
    assert not has_same_rights(now, before)


def test_whoever_may_call_all_routes_calls_those_of_its_role() -> None:
    assert may_call(caller(), Access.MCP, "/mcp")
    assert not may_call(caller(), Access.ADMIN, "/team/new")
    assert not may_call(NOBODY, Access.MCP, "/mcp")
    assert may_call(MASTER, Access.ADMIN, "/team/new")
