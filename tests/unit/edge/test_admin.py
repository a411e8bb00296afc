from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from pointsman.access.caller import MASTER, Caller
from pointsman.access.keys import Key, Team
from pointsman.access.policy import Refused
from pointsman.edge.admin import INTERNAL, MAX_BODY_BYTES, Body, Held, Query, allow, asks, changed, new, stored, view
from pointsman.errors import BodyTooLarge, Forbidden, InvalidRequest, Overloaded
from pointsman.store.base import Conflict, StoreDown
from pointsman.store.base import Refused as NotStorable

Make = Callable[..., Any]
TEAM = Body(asks(Team, "metadata", team_id=str), Team, needs=("team_id",))


async def test_a_body_gives_what_was_said_with_its_types(make_exchange: Make) -> None:
    body = b'{"team_id": "t", "max_budget": 0.1, "models": ["m"], "blocked": true}'
    given = await TEAM.read(make_exchange("POST", body=body))
    assert given == {"team_id": "t", "max_budget": Decimal("0.1"), "models": ("m",), "blocked": True}


async def test_null_is_what_a_member_is_by_default(make_exchange: Make) -> None:
    body = b'{"team_id": "t", "max_budget": null, "models": null, "model_rpm_limit": null, "blocked": null}'
    given = await TEAM.read(make_exchange("POST", body=body))
    assert given == {"team_id": "t", "max_budget": None, "models": (), "model_rpm_limit": {}, "blocked": False}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", "team_id"),
        (b"{}", "team_id"),
        (b'{"team_id": null}', "team_id"),
        (b'{"team_id": "t", "metadata": {"a": 1}}', "metadata"),
        (b'{"team_id": "t", "spent_from": "2020-01-01T00:00:00Z"}', "spent_from"),
        (b'{"team_id": "t", "new": 0.5}', "new"),
        (b'{"team_id": 1}', None),
        (b"\xff", None),
        (b"[" * 100_000, None),
    ],
)
async def test_a_body_that_is_not_as_it_should_be_is_refused(make_exchange: Make, body: bytes, param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await TEAM.read(make_exchange("POST", body=body))
    assert raised.value.param == param


async def test_members_that_are_not_known_and_say_nothing_are_left_out(make_exchange: Make) -> None:
    body = b'{"team_id": "t", "a": null, "b": [], "c": {}, "d": "", "e": false}'
    assert await TEAM.read(make_exchange("POST", body=body)) == {"team_id": "t"}


async def test_a_body_has_a_bound(make_exchange: Make) -> None:
    with pytest.raises(BodyTooLarge):
        await TEAM.read(make_exchange("POST", body=b" " * (MAX_BODY_BYTES + 1)))


@pytest.mark.parametrize("kind", [Key, Team])
def test_no_body_has_members_that_nobody_sets_from_outside(kind: type[Key | Team]) -> None:
    assert not INTERNAL & set(asks(kind).__struct_fields__)


def test_a_row_is_made_and_changed_by_what_it_has() -> None:
    row = new(Team, {"rpm_limit": 1, "team_id": "t"}, created_by="me")
    assert (row.rpm_limit, row.created_by) == (1, "me")
    assert changed(row, {"tpm_limit": 2, "team_id": "t"}) == msgspec.structs.replace(row, tpm_limit=2)
    with pytest.raises(InvalidRequest) as raised:
        changed(row, {"budget_duration": "1y"})
    assert raised.value.param == "budget_duration"


def test_what_is_internal_is_not_told() -> None:
    told = view(Key(parent="p", account="a", budget_duration="1d"), 0.0, spend=1)
    assert not {"parent", "account", "form", "is_plain", "spent_from"} & set(told)
    assert told["budget_reset_at"] == datetime(1970, 1, 2, tzinfo=UTC)
    assert told["spend"] == 1
    assert view(Key(), 0.0)["budget_reset_at"] is None


def test_a_refusal_names_what_was_asked_for_too_much() -> None:
    allow(None)
    with pytest.raises(Forbidden) as raised:
        allow(Refused("no", "models"))
    assert (raised.value.message, raised.value.param) == ("no", "models")


async def test_a_store_that_is_away_is_nobodys_fault_who_asks() -> None:
    async def away() -> None:
        raise StoreDown("no route to 10.0.0.1")

    with pytest.raises(Overloaded) as raised:
        await stored(away())
    assert "10.0.0.1" not in raised.value.message
    assert raised.value.operator_detail == "no route to 10.0.0.1"


async def test_what_no_store_can_hold_is_the_callers_fault() -> None:
    async def refuse() -> None:
        raise NotStorable("NUL")

    with pytest.raises(InvalidRequest, match="cannot be stored"):
        await stored(refuse())


async def test_what_may_have_been_changed_is_forgotten_even_when_nobody_knows(desk: Any) -> None:
    key = await desk.key()
    await desk.get("/v1/models", key=key)
    desk.records.is_down = True
    with pytest.raises(Overloaded):
        await desk.admin.write(MASTER, "x", "", [Held(desk.id(key), Key(), 1).change(None)])
    assert desk.keys.known(key.encode()) is None


async def test_a_name_that_is_taken_is_not_tried_again(desk: Any) -> None:
    tries = []

    async def step() -> None:
        tries.append(1)
        raise Conflict("keys", "k", "key_alias")

    with pytest.raises(InvalidRequest) as raised:
        await desk.admin.again(step)
    assert (raised.value.param, len(tries)) == ("key_alias", 1)


def test_whoever_makes_a_row_is_told_by_the_name_of_his_user(desk: Any) -> None:
    assert desk.admin.made(MASTER)["created_by"] == "master"
    assert desk.admin.changed(Caller(name="key:a", key=Key(user_id="u")))["updated_by"] == "u"
    assert desk.admin.changed(Caller(name="key:a", key=Key()))["updated_by"] == "key:a"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00%2B02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_days_and_moments_can_be_asked_for(make_exchange: Make, given: str, expected: datetime) -> None:
    query = Query(make_exchange(query=f"start_date={given}"))
    assert query.day("start_date", datetime(2000, 1, 1, tzinfo=UTC)) == expected


@pytest.mark.parametrize("given", ["0", "-1", "x", "1.5", "101", "9" * 50, "\u0661"])
def test_a_page_is_a_number_within_bounds(make_exchange: Make, given: str) -> None:
    with pytest.raises(InvalidRequest):
        Query(make_exchange(query=f"size={given}")).page()


def test_a_query_says_what_it_says(make_exchange: Make) -> None:
    query = Query(make_exchange(query="a=1&b=true&page=2&page_size=7"))
    assert (query.text("x", "a"), query.flag("b"), query.flag("a"), query.flag("c")) == ("1", True, True, False)
    assert (query.page().number, query.page().size) == (2, 7)
    with pytest.raises(InvalidRequest):
        query.need("c")
