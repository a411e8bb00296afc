from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from pointsman.access.caller import MASTER, Caller, Family, Gatekeeper, Limits, caller_of
from pointsman.access.keys import BudgetRow, Key, Member, ModelBudget, ObjectPermission, Organization, Team, User
from pointsman.access.limits import Limit
from pointsman.access.settings import AccessSettings
from pointsman.errors import Forbidden, ModelNotFound, Unauthenticated
from pointsman.wire.secret import Secret

KEY = "sk-master-0123456789"


def gatekeeper(**settings: str) -> Gatekeeper:
    return Gatekeeper(AccessSettings(master_key=Secret(KEY), key_header=settings.get("key_header")))


@pytest.mark.parametrize(
    "headers",
    [
        {b"authorization": b"Bearer " + KEY.encode()},
        {b"authorization": b"bearer  " + KEY.encode()},
        {b"authorization": KEY.encode()},
        {b"x-api-key": KEY.encode()},
        {b"api-key": KEY.encode()},
        {b"x-litellm-api-key": KEY.encode()},
        {b"x-litellm-api-key": b"Bearer " + KEY.encode()},
        {b"authorization": b"Bearer something-else", b"x-api-key": KEY.encode()},
    ],
)
def test_the_master_key_is_taken_from_each_customary_header(headers: dict[bytes, bytes]) -> None:
    assert gatekeeper().identify(headers).is_master


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"authorization": b""},
        {b"authorization": b"Bearer"},
        {b"authorization": b"Bearer "},
        {b"authorization": b"Bearer " + KEY.encode() + b"x"},
        {b"authorization": b"Bearer " + KEY.encode()[:-1]},
        {b"authorization": b"Bearer \xff\xfe"},
        {b"cookie": KEY.encode()},
    ],
)
def test_anything_else_is_a_stranger(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(Unauthenticated) as raised:
        gatekeeper().identify(headers)
    assert raised.value.message == "Invalid API key"


def test_an_operator_may_name_one_more_header() -> None:
    keeper = gatekeeper(key_header="X-Company-Key")
    assert keeper.identify({b"x-company-key": KEY.encode()}).is_master


def test_the_text_of_the_master_key_is_known_as_such() -> None:
    keeper = Gatekeeper(AccessSettings(master_key=Secret("sk-1")))
    assert [keeper.is_master(key) for key in ("sk-1", "sk-12", "sk-é")] == [True, False, False]
    assert not Gatekeeper(AccessSettings(master_key=None)).is_master("sk-1")


def test_without_a_master_key_everybody_is_the_master() -> None:
    keeper = Gatekeeper(AccessSettings())
    assert keeper.is_open
    assert keeper.identify({}).is_master


# -- with virtual keys ------------------------------------------------------------------------------------------------

NOW = 1_800_000_000.0
SOON, PAST = datetime.fromtimestamp(NOW + 60, UTC), datetime.fromtimestamp(NOW, UTC)


def known(key: bytes) -> Caller | None:
    return Caller(name="k", role="key") if key == b"sk-known" else None


def test_whom_others_know_is_found_by_any_of_the_headers() -> None:
    headers = {b"authorization": b"Bearer sk-strange", b"x-api-key": b"sk-known"}
    found = gatekeeper().look(headers, known)
    assert found is not None
    assert found.name == "k"
    assert gatekeeper().look({b"authorization": b"Bearer sk-strange"}, known) is None
    assert list(gatekeeper().shown(headers)) == [b"sk-strange", b"sk-known"]


def test_the_master_is_not_looked_up() -> None:
    assert gatekeeper().look({b"authorization": b"Bearer " + KEY.encode()}, lambda _: pytest.fail("asked")) is MASTER


@pytest.mark.parametrize("headers", [{}, {b"authorization": b"Bearer "}])
def test_whoever_shows_no_key_is_refused_at_once(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(Unauthenticated):
        gatekeeper().look(headers, known)


def test_the_master_may_have_a_budget() -> None:
    settings = AccessSettings(master_key=Secret(KEY), master_budget=Decimal(5), master_budget_duration="1d")
    found = Gatekeeper(settings).identify({b"x-api-key": KEY.encode()})
    assert found.is_master
    assert [(one.kind, one.id, one.hard, one.duration) for one in found.budgets] == [
        ("key", "master", Decimal(5), "1d")
    ]


def test_a_key_is_within_the_limits_of_all_that_it_belongs_to() -> None:
    family = Family(
        id="d",
        key=Key(account="a", rpm_limit=1, max_budget=Decimal(1), user_id="u", team_id="t", organization_id="o"),
        user=User(tpm_limit=2, max_budget=Decimal(2), budget_duration="1d"),
        team=Team(max_parallel_requests=3, max_budget=Decimal(3), soft_budget=Decimal(2)),
        organization=Organization(tpd_limit=4, budget_id="b"),
        budgets={"b": BudgetRow(max_budget=Decimal(4))},
    )
    caller = caller_of(family, NOW)
    assert [(one.key, one.ceiling) for one in caller.limits.requests] == [("rpm:key:a", 1)]
    assert [(one.key, one.ceiling) for one in caller.limits.tokens] == [("tpm:user:u", 2), ("tpd:organization:o", 4)]
    assert [(one.key, one.ceiling) for one in caller.limits.slots] == [("slots:team:t", 3)]
    assert [(one.kind, one.id, one.hard) for one in caller.budgets] == [
        ("key", "a", Decimal(1)),
        ("user", "u", Decimal(2)),
        ("team", "t", Decimal(3)),
        ("organization", "o", Decimal(4)),
    ]
    assert (caller.name, caller.account, caller.id, caller.is_master) == ("key:a", "a", "d", False)
    assert (caller.user_id, caller.team_id, caller.organization_id) == ("u", "t", "o")


def test_a_key_that_a_key_has_made_is_within_its_makers_limits_too() -> None:
    family = Family(
        id="d",
        key=Key(account="a", rpm_limit=1, parent="p", models=("x", "y")),
        parent=Key(account="p", rpm_limit=9, max_budget=Decimal(1), models=("y", "z"), expires=SOON),
    )
    caller = caller_of(family, NOW)
    assert [one.key for one in caller.limits.requests] == ["rpm:key:a", "rpm:key:p"]
    assert [one.id for one in caller.budgets] == ["p"]
    assert [model for model in "xyz" if caller.may_use(model)] == ["y"]
    assert caller.expires == NOW + 60


def test_limits_and_budgets_of_a_model_hold_for_that_model_only() -> None:
    family = Family(
        id="d",
        key=Key(
            account="a",
            tpm_limit=1,
            model_rpm_limit={"m": 2},
            model_tpm_limit={"m": 3},
            model_max_budget={"m": ModelBudget(budget_limit=Decimal(1), time_period="1d")},
        ),
        team=Team(model_rpm_limit={"m": 4}),
    )
    family = msgspec.structs.replace(family, key=msgspec.structs.replace(family.key, team_id="t"))
    caller = caller_of(family, NOW)
    assert caller.limits_for("other") == caller.limits
    found = caller.limits_for("m", "m")
    assert [one.key for one in found.requests] == ["rpm:key:a:m", "rpm:team:t:m"]
    assert [one.key for one in found.tokens] == ["tpm:key:a", "tpm:key:a:m"]
    assert caller.budgets_for("other") == ()
    assert [(one.model, one.duration) for one in caller.budgets_for("alias", "m")] == [("m", "1d")]


@pytest.mark.parametrize("name", ["requests", "tokens", "slots"])
def test_no_limits_are_nothing_and_any_are_something(name: str) -> None:
    one = Limit(key="k", kind="rate", ceiling=1)
    assert not Limits()
    assert Limits(**{name: (one,)})
    assert getattr(Limits(**{name: (one,)}) + Limits(**{name: (one,)}), name) == (one, one)


def test_several_budgets_of_a_key_have_counters_of_their_own() -> None:
    budgets = (ModelBudget(max_budget=Decimal(1), budget_duration="1h"), ModelBudget(max_budget=Decimal(9)))
    key = Key(account="a", max_budget=Decimal(5), budget_duration="1d", budget_limits=budgets, spent_from=PAST)
    found = caller_of(Family(id="d", key=key), NOW).budgets
    assert len({one.name(one.window(NOW)) for one in found}) == 3
    assert {one.since for one in found} == {NOW}


@pytest.mark.parametrize(
    ("key", "rows", "message"),
    [
        (Key(expires=PAST), {}, "expired"),
        (Key(parent="p"), {}, "maker does not exist"),
        (Key(parent="p"), {"parent": Key(expires=PAST)}, "expired"),
        (Key(parent="p"), {"parent": Key(blocked=True)}, "maker is blocked"),
        (Key(blocked=True), {}, "key is blocked"),
        (Key(user_id="u"), {"user": User(blocked=True)}, "user is blocked"),
        (Key(team_id="t"), {"team": Team(blocked=True)}, "team is blocked"),
        (Key(team_id="t"), {}, "team does not exist"),
        (Key(organization_id="o"), {"organization": Organization(blocked=True)}, "organization is blocked"),
        (Key(organization_id="o"), {}, "organization does not exist"),
        (Key(budget_id="b"), {}, "budget does not exist"),
        (Key(team_id="t"), {"team": Team(budget_id="b")}, "budget does not exist"),
    ],
)
def test_a_key_is_refused_when_it_or_what_limits_it_is_gone_or_blocked(
    key: Key, rows: dict[str, Any], message: str
) -> None:
    with pytest.raises((Unauthenticated, Forbidden), match=message):
        caller_of(Family(id="d", key=key, **rows), NOW)


def test_a_user_need_not_be_written_down() -> None:
    assert caller_of(Family(id="d", key=Key(user_id="u")), NOW).role == "key"


ADMIN = User(user_role="proxy_admin")


@pytest.mark.parametrize(
    ("key", "rows", "role"),
    [
        (Key(), {}, "key"),
        (Key(user_id="u"), {"user": User()}, "key"),
        (Key(user_id="u"), {"user": ADMIN}, "admin"),
        (Key(user_id="u"), {"user": User(user_role="proxy_admin_viewer")}, "read_only"),
        (Key(user_id="u", parent="p"), {"user": ADMIN, "parent": Key()}, "key"),
        (Key(user_id="u", is_plain=True), {"user": ADMIN}, "key"),
        (
            Key(user_id="u", team_id="t"),
            {"user": User(), "team": Team(members_with_roles=(Member("u", "admin"),))},
            "team_admin",
        ),
        (Key(user_id="u", team_id="t"), {"user": User(), "team": Team(members_with_roles=(Member("u"),))}, "key"),
        (
            Key(user_id="u", team_id="t"),
            {"user": User(), "team": Team(members_with_roles=(Member("v", "admin"),))},
            "key",
        ),
        (Key(team_id="t"), {"team": Team(members_with_roles=(Member("v", "admin"),))}, "key"),
    ],
)
def test_a_key_has_the_role_of_its_user(key: Key, rows: dict[str, Any], role: str) -> None:
    assert caller_of(Family(id="d", key=key, **rows), NOW).role == role


def test_each_of_those_whom_a_key_belongs_to_has_to_allow_a_model() -> None:
    family = Family(
        id="d",
        key=Key(models=("a", "b", "d"), team_id="t", user_id="u"),
        team=Team(models=("b", "c", "d")),
        user=User(models=("no-default-models",)),
    )
    caller = caller_of(family, NOW)
    assert [model for model in "abcd" if caller.may_use(model)] == ["b", "d"]


def test_what_a_user_may_call_binds_his_own_keys() -> None:
    caller = caller_of(Family(id="d", key=Key(user_id="u"), user=User(models=("a",))), NOW)
    assert caller.may_use("a")
    with pytest.raises(ModelNotFound):
        caller.check_model("b")


def test_a_model_is_allowed_by_the_name_of_its_group() -> None:
    caller = caller_of(Family(id="d", key=Key(models=("group",))), NOW)
    assert caller.may_use("alias", "group")
    MASTER.check_model("anything")


def test_a_key_can_have_names_of_its_own_for_models() -> None:
    caller = caller_of(Family(id="d", key=Key(aliases={"mine": "house"})), NOW)
    assert (caller.alias("mine"), caller.alias("other"), MASTER.alias("mine")) == ("house", "other", "mine")


def test_the_mcp_servers_of_a_key_are_those_that_all_above_it_allow() -> None:
    def may(*servers: str) -> ObjectPermission:
        return ObjectPermission(mcp_servers=servers)

    key = Key(team_id="t", organization_id="o", user_id="u", object_permission=may("a", "b", "c"))
    rows: dict[str, Any] = {
        "team": Team(object_permission=may("a", "b")),
        "organization": Organization(object_permission=may("b", "c")),
        "user": User(object_permission=may("z")),
    }
    grants = caller_of(Family(id="d", key=key, **rows), NOW).grants
    assert [one for one in "abcz" if grants.has(one, ())] == ["b"]


def test_the_mcp_servers_of_a_user_bind_his_own_keys() -> None:
    user = User(object_permission=ObjectPermission(mcp_servers=("a",)))
    grants = caller_of(Family(id="d", key=Key(user_id="u"), user=user), NOW).grants
    assert (grants.has("a", ()), grants.has("b", ())) == (True, False)


def test_a_key_has_no_mcp_server_that_its_maker_has_lost() -> None:
    key = Key(parent="p", object_permission=ObjectPermission(mcp_servers=("a",)))
    for permission, is_there in ((ObjectPermission(mcp_servers=("a",)), True), (None, False)):
        grants = caller_of(Family(id="d", key=key, parent=Key(object_permission=permission)), NOW).grants
        assert grants.has("a", ()) is is_there
