from __future__ import annotations

from typing import Any

import pytest

from pointsman.store.base import SpendEvent

NOW = 1_800_000_000.0
Desk = Any
DOLLAR = 10**9


def event(number: int, **more: Any) -> SpendEvent:
    told = {"at": NOW - number, "cost_nano_usd": DOLLAR, "input_tokens": 2, "output_tokens": 1, "model": "m"}
    return SpendEvent(**{"id": f"e{number}", "request_id": f"r{number}", **told, **more})


async def test_a_row_of_the_log_is_as_litellm_tells_it(desk: Desk) -> None:
    desk.records.events.append(
        event(
            1, key_id="k", user_id="u", team_id="t", provider="openai", upstream_model="up", ended_at=NOW, tags=("a",)
        )
    )
    [row] = await desk.get("/spend/logs")
    assert {name: row[name] for name in ("request_id", "api_key", "spend", "total_tokens", "model", "model_group")} == {
        "request_id": "r1",
        "api_key": "k",
        "spend": 1,
        "total_tokens": 3,
        "model": "up",
        "model_group": "m",
    }
    assert (row["startTime"], row["endTime"]) == ("2027-01-15T07:59:59Z", "2027-01-15T08:00:00Z")


async def test_the_log_comes_in_pages_and_by_what_is_asked_for(desk: Desk) -> None:
    key = await desk.key()
    desk.records.events += [event(n, key_id=desk.id(key) if n % 2 else "x") for n in range(5)]
    first = await desk.get("/spend/logs", "page_size=2")
    rest = await desk.get("/spend/logs", f"page_size=10&after={first[-1]['after']}")
    assert [one["request_id"] for one in first + rest] == ["r0", "r1", "r2", "r3", "r4"]
    for asked in (key, desk.id(key)):
        found = await desk.get("/spend/logs", f"api_key={asked}")
        assert [one["request_id"] for one in found] == ["r1", "r3"]
    assert [one["request_id"] for one in await desk.get("/spend/logs", "request_id=r4")] == ["r4"]
    assert await desk.get("/spend/logs", "start_date=2027-01-16&end_date=2027-01-17") == []


async def test_days_can_be_summed_up(desk: Desk) -> None:
    desk.records.events += [event(0), event(1, model="n"), event(90_000)]
    assert await desk.get("/spend/logs", "summarize=true") == [
        {"startTime": "2027-01-14", "spend": 1, "models": {"m": 1}},
        {"startTime": "2027-01-15", "spend": 2, "models": {"m": 1, "n": 1}},
    ]


async def test_a_key_is_told_what_its_user_or_team_has_spent_and_no_more(desk: Desk) -> None:
    alone, mine = await desk.key(), await desk.key(user_id="u")
    chief, reader = await desk.key_of("team_admin"), await desk.key_of("read_only")
    desk.records.events += [
        event(0, key_id=desk.id(alone)),
        event(1, key_id=desk.id(mine), user_id="u"),
        event(2, key_id="sister", user_id="u"),
        event(3, key_id="x", team_id="crew"),
        event(4, key_id="x", team_id="other"),
    ]
    for key, expected in ((alone, "0"), (mine, "12"), (chief, "3"), (reader, "01234")):
        for query in ("", "team_id=other", "user_id=nobody"):
            told = {one["request_id"][1:] for one in await desk.get("/spend/logs", query, key=key)}
            assert told <= set(expected)
        assert {one["request_id"][1:] for one in await desk.get("/spend/logs", key=key)} == set(expected)
        report = await desk.get("/global/spend/report", "group_by=model", key=key)
        assert report[0]["models"][0]["total_spend"] == len(expected)
    assert [one["request_id"] for one in await desk.get("/spend/logs", "api_key=sister", key=mine)] == ["r2"]
    assert await desk.get("/spend/logs", "api_key=x", key=mine) == []
    assert [one["request_id"] for one in await desk.get("/spend/logs", "api_key=x", key=chief)] == ["r3"]
    refused = await desk.call("GET", "/spend/logs", key=alone, query="api_key=x")
    assert (refused.status, refused.json["error"]["message"]) == (403, "This key sees its own spend only")


async def test_a_report_groups_each_day_by_what_is_asked_for(desk: Desk) -> None:
    await desk.post("/team/new", {"team_id": "t", "team_alias": "The Crew"})
    desk.records.events += [
        event(0, team_id="t", key_id="a"),
        event(1, team_id="t", key_id="b", model="n"),
        event(2, team_id="gone", key_id="a"),
    ]
    [day] = await desk.get("/global/spend/report", "group_by=team&start_date=2027-01-15&end_date=2027-01-15")
    assert day["group_by_day"] == "2027-01-15"
    assert {(one["team_id"], one["team_name"], one["total_spend"]) for one in day["teams"]} == {
        ("t", "The Crew", 2),
        ("gone", "gone", 1),
    }
    assert {(one["api_key"], one["model"]) for one in day["teams"][0]["metadata"]} == {("a", "m"), ("b", "n")}
    [day] = await desk.get("/global/spend/report", "group_by=api_key")
    assert {(one["api_key"], one["total_spend"]) for one in day["api_keys"]} == {("a", 2), ("b", 1)}


async def test_the_keys_and_users_that_spend_most_come_first(desk: Desk) -> None:
    key = await desk.key(key_alias="a")
    desk.records.events += [
        event(0, key_id=desk.id(key), user_id="u"),
        event(1, key_id="master", cost_nano_usd=3 * DOLLAR, user_id="v"),
        event(2, key_id="gone", cost_nano_usd=2 * DOLLAR, user_id="u"),
    ]
    found = await desk.get("/spend/keys")
    assert [(one["token"], one["key_name"], one["key_alias"], one["spend"]) for one in found] == [
        ("master", "master", None, 3),
        ("gone", None, None, 2),
        (desk.id(key), found[2]["key_name"], "a", 1),
    ]
    assert [(one["user_id"], one["spend"]) for one in await desk.get("/spend/users")] == [("u", 3), ("v", 3)]
    assert [one["spend"] for one in await desk.get("/spend/users", "user_id=u")] == [3]
    assert (await desk.get("/global/spend"))["spend"] == 6


async def test_nothing_spent_is_nothing(desk: Desk) -> None:
    assert (await desk.get("/global/spend"))["spend"] == 0
    assert await desk.get("/spend/logs") == []


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/spend/logs", "start_date=yesterday"),
        ("/spend/logs", "start_date=2027-01-15&end_date=2027-01-14"),
        ("/spend/logs", "page_size=0"),
        ("/spend/logs", "size=00000000000000019999999"),
        ("/spend/logs", "start_date=9999-12-31&end_date=9999-12-31"),
        ("/spend/logs", "after=x,y"),
        ("/global/spend/report", "group_by=moon"),
    ],
)
async def test_what_cannot_be_asked_for_is_refused(desk: Desk, path: str, query: str) -> None:
    assert (await desk.call("GET", path, query=query)).status == 400


async def test_money_is_told_to_the_nano_dollar(desk: Desk) -> None:
    desk.records.events += [event(n, cost_nano_usd=1) for n in range(3)]
    assert (await desk.get("/global/spend"))["spend"] == 3e-9


@pytest.mark.parametrize("path", ["/spend/logs", "/spend/keys", "/spend/users", "/global/spend/report"])
async def test_the_last_day_of_all_may_be_asked_for(desk: Desk, path: str) -> None:
    assert (await desk.call("GET", path, query="end_date=9999-12-31")).status == 200
