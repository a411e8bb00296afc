from __future__ import annotations

import re
from typing import Any

import pytest

from pointsman.access.keys import Pepper
from pointsman.store.base import Change, SpendEvent

NOW = 1_800_000_000.0
DAY = "2027-01-15"
Desk = Any


def spent(key_id: str, nano: int, at: float = NOW, **more: Any) -> SpendEvent:
    return SpendEvent(id=f"{key_id}-{at}-{nano}", at=at, key_id=key_id, cost_nano_usd=nano, **more)


# -- making and showing ------------------------------------------------------------------------------------------------


async def test_a_key_is_made_with_what_was_asked_for_and_works_at_once(desk: Desk) -> None:
    asked = {
        "key_alias": "mine",
        "models": ["house"],
        "max_budget": 12.3,
        "budget_duration": "1d",
        "duration": "1h",
        "rpm_limit": 5,
        "metadata": {"a": 1},
        "tags": ["t"],
        "aliases": {"m": "house"},
        "guardrails": [],
        "permissions": None,
    }
    made = await desk.post("/key/generate", asked)
    key = made["key"]
    assert made["token"] == made["token_id"] == desk.id(key)
    assert {name: made[name] for name in ("key_alias", "max_budget", "rpm_limit", "models", "tags", "metadata")} == {
        name: asked[name] for name in ("key_alias", "max_budget", "rpm_limit", "models", "tags", "metadata")
    }
    assert made["expires"].startswith(f"{DAY}T09:00:00")
    assert made["budget_reset_at"].startswith("2027-01-16T00:00:00")
    assert re.fullmatch(r"sk-\.\.\..{4}", made["key_name"])
    assert made["key_name"][-4:] == key[-4:]
    assert made["created_by"] == "master"
    assert (await desk.get("/key/info", key=key))["info"]["key_alias"] == "mine"


@pytest.mark.requirement("access.no-raw-key")
async def test_a_key_is_told_once_and_stands_nowhere_else(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    key = await desk.key(key_alias="a", user_id="u")
    new = (await desk.post("/key/regenerate", {"key": key}))["key"]
    told = [
        (await desk.post("/key/update", {"key": new, "rpm_limit": 1})),
        (await desk.get("/key/info", f"key={new}")),
        (await desk.get("/key/list", "return_full_object=true")),
        (await desk.get(f"/key/{new}/spend")),
        (await desk.post("/key/block", {"key": new})),
        (await desk.get("/audit")),
        (await desk.call("POST", "/key/update", {"key": "sk-canary-strange", "rpm_limit": 1})).json,
        (await desk.call("POST", "/key/generate", {"key": new})).json,
        (await desk.post("/key/delete", {"keys": [new]})),
        desk.records.log,
        desk.records.tables,
        caplog.text,
    ]
    assert "canary" not in repr(told)


async def test_keys_that_are_made_are_all_different(desk: Desk) -> None:
    assert len({await desk.key() for _ in range(5)}) == 5


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"duration": "soon"}, "duration"),
        ({"budget_duration": "1y", "max_budget": 1}, "budget_duration"),
        ({"max_budget": -1}, "max_budget"),
        ({"key_type": "root"}, "key_type"),
        ({"allowed_routes": ["admin"]}, "allowed_routes"),
        ({"team_id": "nobody"}, "team_id"),
        ({"organization_id": "nobody"}, "organization_id"),
        ({"budget_id": "nobody"}, "budget_id"),
        ({"key": "sk-short"}, "key"),
        ({"key": "x" * 40}, "key"),
        ({"guardrails": ["pii"]}, "guardrails"),
        ({"user_role": "proxy_admin"}, "user_role"),
        ({"parent": "x"}, "parent"),
        ({"spent_from": "2020-01-01"}, "spent_from"),
        ({"is_plain": True}, "is_plain"),
        ({"models": "house"}, None),
        ({"rpm_limit": "5"}, None),
        (b"[]", None),
        (b"{", None),
    ],
)
async def test_what_makes_no_sense_or_is_not_known_is_refused(desk: Desk, asked: Any, param: str | None) -> None:
    answered = await desk.call("POST", "/key/generate", asked)
    assert answered.status == 400
    assert answered.json["error"]["param"] == param
    assert not desk.records.tables["keys"]


async def test_an_alias_belongs_to_one_key(desk: Desk) -> None:
    await desk.key(key_alias="a")
    other = await desk.key(key_alias="b")
    for path, asked in (("/key/generate", {}), ("/key/update", {"key": other})):
        answered = await desk.call("POST", path, {**asked, "key_alias": "a"})
        assert (answered.status, answered.json["error"]["param"]) == (400, "key_alias")


async def test_an_admin_may_choose_the_key_itself_but_not_one_that_there_is(desk: Desk) -> None:
    mine = "sk-canary-of-my-own-choi"
    assert await desk.key(key=mine) == mine
    assert (await desk.call("POST", "/key/generate", {"key": mine[:-1]})).status == 400
    assert (await desk.call("POST", "/key/generate", {"key": mine})).status == 400


async def test_key_type_is_another_word_for_allowed_routes(desk: Desk) -> None:
    key = await desk.key(key_type="llm_api")
    assert (await desk.call("GET", "/v1/models", key=key)).status == 200
    assert (await desk.call("GET", "/key/info", key=key)).status == 403


async def test_the_organization_of_a_key_is_that_of_its_team(desk: Desk) -> None:
    for name in ("o", "p"):
        await desk.post("/organization/new", {"organization_id": name})
    await desk.post("/team/new", {"team_id": "t", "organization_id": "o"})
    assert (await desk.post("/key/generate", {"team_id": "t"}))["organization_id"] == "o"
    answered = await desk.call("POST", "/key/generate", {"team_id": "t", "organization_id": "p"})
    assert (answered.status, answered.json["error"]["param"]) == (400, "organization_id")


# -- whose keys --------------------------------------------------------------------------------------------------------


async def test_a_key_is_shown_to_itself_to_its_user_and_to_whoever_sees_all(desk: Desk) -> None:
    mine, sister = await desk.key(user_id="u"), await desk.key(user_id="u")
    stranger, reader = await desk.key(user_id="x"), await desk.key_of("read_only")
    for key, status in ((mine, 200), (sister, 200), (stranger, 404), (reader, 200)):
        assert (await desk.call("GET", "/key/info", key=key, query=f"key={desk.id(mine)}")).status == status
    assert (await desk.get("/key/info", key=mine))["key"] == desk.id(mine)


async def test_a_list_holds_what_the_caller_may_see(desk: Desk) -> None:
    mine, sister, alone = await desk.key(user_id="u"), await desk.key(user_id="u"), await desk.key()
    chief = await desk.key_of("team_admin")
    member = await desk.key(user_id="x", team_id="crew")
    ids = {name: desk.id(key) for name, key in {"m": mine, "s": sister, "a": alone, "c": chief, "x": member}.items()}
    for key, expected in ((mine, "ms"), (alone, "a"), (chief, "cx"), ("sk-master-canary", "msacx")):
        listed = await desk.get("/key/list", "size=50", key=key)
        assert set(listed["keys"]) == {ids[name] for name in expected}
        assert listed["total_count"] == len(expected)
    assert (await desk.get("/key/list", "user_id=x", key=mine))["keys"] == []
    assert (await desk.get("/key/list", f"key_hash={ids['a']}", key=mine))["keys"] == []
    assert (await desk.get("/key/list", f"key_hash={ids['s']}", key=mine))["keys"] == [ids["s"]]


async def test_a_list_comes_in_pages_the_latest_first(desk: Desk) -> None:
    ids = []
    for number in range(5):
        desk.time = NOW + number
        ids.append(desk.id(await desk.key(key_alias=f"k{number}")))
    pages = [await desk.get("/key/list", f"page={number}&size=2") for number in (1, 2, 3, 4)]
    assert [page["keys"] for page in pages] == [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]], []]
    assert [(page["total_count"], page["total_pages"], page["current_page"]) for page in pages[:2]] == [
        (5, 3, 1),
        (5, 3, 2),
    ]
    assert (await desk.get("/key/aliases", "size=3"))["aliases"] == ["k4", "k3", "k2"]
    assert (await desk.call("GET", "/key/list", query="size=1000")).status == 400


# -- what a key may grant ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("access.grants")
async def test_a_key_that_a_key_makes_has_the_same_limits_unless_it_asks_for_less(desk: Desk) -> None:
    mine = await desk.key(user_id="u", max_budget=10, rpm_limit=5, models=["house"], duration="1d")
    made = await desk.post("/key/generate", {"rpm_limit": 2}, key=mine)
    assert {name: made[name] for name in ("max_budget", "rpm_limit", "models", "user_id")} == {
        "max_budget": 10,
        "rpm_limit": 2,
        "models": ["house"],
        "user_id": "u",
    }
    assert made["expires"] is not None


@pytest.mark.requirement("access.grants")
@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"max_budget": 11}, "max_budget"),
        ({"max_budget": None}, "max_budget"),
        ({"budget_duration": "1d"}, "budget_duration"),
        ({"rpm_limit": 6}, "rpm_limit"),
        ({"models": ["house", "other"]}, "models"),
        ({"models": []}, "models"),
        ({"duration": "2d"}, "expires"),
        ({"duration": "-1"}, "expires"),
        ({"user_id": "boss"}, "user_id"),
        ({"team_id": "crew"}, "team_id"),
        ({"organization_id": "o"}, "organization_id"),
        ({"budget_id": "b"}, "budget_id"),
        ({"key": "sk-canary-of-my-own-choice-1"}, "key"),
        ({"soft_budget": 1}, "soft_budget"),
    ],
)
async def test_a_key_that_a_key_makes_never_has_more(desk: Desk, asked: dict[str, Any], param: str) -> None:
    await desk.key_of("key")
    mine = await desk.key(user_id="u", max_budget=10, rpm_limit=5, models=["house"], duration="1d")
    before = set(desk.records.tables["keys"])
    answered = await desk.call("POST", "/key/generate", asked, key=mine)
    assert (answered.status, answered.json["error"]["param"]) == (403, param)
    assert set(desk.records.tables["keys"]) == before


async def test_the_terms_of_a_budget_are_a_keys_own_when_it_grants(desk: Desk) -> None:
    await desk.post("/budget/new", {"budget_id": "b", "max_budget": 10})
    mine = await desk.key(user_id="u", budget_id="b")
    assert (await desk.call("POST", "/key/generate", {"max_budget": 11}, key=mine)).status == 403
    assert (await desk.post("/key/generate", {}, key=mine))["max_budget"] == 10
    assert (await desk.post("/key/update", {"key": mine, "rpm_limit": 1}, key=mine))["budget_id"] == "b"
    assert (await desk.call("POST", "/key/update", {"key": mine, "budget_id": None}, key=mine)).status == 403


async def test_keys_that_a_key_makes_share_its_budget_and_end_with_it(desk: Desk) -> None:
    mine = await desk.key(user_id="u", max_budget=10)
    child = await desk.key(by=mine)
    found = await desk.keys.find([child.encode()])
    assert [one.id for one in found.budgets] == [desk.id(child), desk.id(mine)]
    assert (await desk.call("POST", "/key/generate", {}, key=child)).status == 403
    await desk.post("/key/delete", {"keys": [mine]})
    assert (await desk.call("GET", "/v1/models", key=child)).status == 403


async def test_a_key_without_a_user_makes_none(desk: Desk) -> None:
    assert (await desk.call("POST", "/key/generate", {}, key=await desk.key())).status == 403


@pytest.mark.requirement("access.grants")
async def test_no_chain_of_requests_makes_an_admin_of_a_key(desk: Desk) -> None:
    """CVE-2026-47101 and 47102: routes taken as given, and a role that could be written."""
    mine, chief = await desk.key(user_id="u"), await desk.key_of("team_admin")
    await desk.key_of("admin")
    for key in (mine, chief):
        for path, asked in (
            ("/key/generate", {"allowed_routes": ["/user/*", "/config/reload"]}),
            ("/key/update", {"key": key, "allowed_routes": ["/user/*", "management_routes"]}),
        ):
            answered = await desk.call("POST", path, asked, key=key)
            used = answered.json.get("key", key) if answered.status == 200 and "generate" in path else key
            assert (await desk.call("GET", "/user/list", key=used)).status == 403
            assert (await desk.call("POST", "/config/reload", key=used)).status == 403
        for path, asked in (
            ("/user/update", {"user_id": "u", "user_role": "proxy_admin"}),
            ("/user/new", {"user_role": "proxy_admin"}),
            ("/key/generate", {"user_id": "admin", "team_id": "crew"}),
            ("/key/update", {"key": key, "user_id": "admin"}),
            ("/key/generate", {"user_role": "proxy_admin"}),
            ("/key/update", {"key": key, "user_role": "proxy_admin"}),
        ):
            assert (await desk.call("POST", path, asked, key=key)).status in {400, 403}, path


async def test_an_admin_of_a_team_does_not_become_what_a_member_becomes(desk: Desk) -> None:
    chief = await desk.key_of("team_admin")
    await desk.post("/team/member_add", {"team_id": "crew", "member": {"user_id": "rising"}})
    made = await desk.key(by=chief, user_id="rising")
    replaced = await desk.key(user_id="rising", team_id="crew")
    stolen = (await desk.post("/key/regenerate", {"key": replaced}, key=chief))["key"]
    own = await desk.key(user_id="rising", team_id="crew")
    await desk.post("/user/update", {"user_id": "rising", "user_role": "proxy_admin"})
    for key, status in ((made, 403), (stolen, 403), (own, 200)):
        assert (await desk.call("GET", "/user/list", key=key)).status == status
    assert (await desk.call("POST", "/key/regenerate", {"key": own}, key=chief)).status == 403


async def test_an_admin_of_a_team_makes_and_changes_the_keys_of_his_team_only(desk: Desk) -> None:
    chief = await desk.key_of("team_admin")
    await desk.post("/team/member_add", {"team_id": "crew", "member": {"user_id": "m"}})
    member, other = await desk.key(by=chief, user_id="m"), await desk.key(user_id="m")
    assert (await desk.post("/key/update", {"key": member, "rpm_limit": 3}, key=chief))["rpm_limit"] == 3
    assert (await desk.call("POST", "/key/update", {"key": other, "rpm_limit": 3}, key=chief)).status == 404
    assert (await desk.call("POST", "/key/update", {"key": member, "team_id": None}, key=chief)).status == 403


async def test_a_limited_key_of_a_teams_admin_passes_its_limits_and_its_end_on(desk: Desk) -> None:
    chief = await desk.key_of("team_admin")
    narrow = await desk.key(user_id="team_admin", team_id="crew", max_budget=1)
    for maker, is_shared in ((chief, False), (narrow, True)):
        made = await desk.key(by=maker, **({"max_budget": 1} if is_shared else {}))
        assert (desk.records.tables["keys"][desk.id(made)].doc.get("parent") == desk.id(narrow)) is is_shared
        assert (await desk.call("GET", "/key/info", key=made)).status == 200
        await desk.post("/key/block", {"key": maker})
        assert (await desk.call("GET", "/key/info", key=made)).status == (403 if is_shared else 200)


async def test_an_admin_of_a_team_stops_keys_that_are_wider_than_his_own(desk: Desk) -> None:
    await desk.key_of("team_admin")
    narrow = await desk.key(user_id="team_admin", team_id="crew", max_budget=1)
    wide = await desk.key(team_id="crew", max_budget=3)
    for path in ("/key/update", "/key/regenerate"):
        assert (await desk.call("POST", path, {"key": wide}, key=narrow)).status == 403
    assert (await desk.post("/key/block", {"key": wide}, key=narrow))["blocked"] is True
    assert (await desk.post("/key/delete", {"keys": [wide]}, key=narrow))["deleted_keys"] == [desk.id(wide)]


async def test_a_key_is_told_how_far_it_is_with_the_budget_that_it_refers_to(desk: Desk) -> None:
    await desk.post("/budget/new", {"budget_id": "daily", "max_budget": 1, "budget_duration": "1d"})
    key = await desk.key(budget_id="daily")
    desk.records.events += [spent(desk.id(key), 10**9, NOW - 100_000), spent(desk.id(key), 2 * 10**9, NOW - 1)]
    found = (await desk.get("/key/info", key=key))["info"]
    assert (found["spend"], found["max_budget"], found["budget_reset_at"] is None) == (2, None, False)


async def test_a_narrow_key_of_an_admin_makes_no_wider_one(desk: Desk) -> None:
    await desk.key_of("admin")
    narrow = await desk.key(user_id="admin", allowed_routes=["/key/generate"])
    made = await desk.key(by=narrow, user_id="admin")
    assert (await desk.call("GET", "/user/list", key=made)).status == 403
    assert (await desk.call("POST", "/key/generate", {"allowed_routes": []}, key=narrow)).status == 403
    assert (await desk.call("POST", "/key/generate", {"key_type": "default"}, key=narrow)).status == 403


async def test_a_weaker_key_does_not_get_hold_of_a_stronger_one_of_its_user(desk: Desk) -> None:
    weak, strong = await desk.key(user_id="u", rpm_limit=1), await desk.key(user_id="u")
    for path in ("/key/regenerate", "/key/update", "/key/block"):
        assert (await desk.call("POST", path, {"key": desk.id(strong)}, key=weak)).status == 403, path
    assert (await desk.call("POST", "/key/delete", {"keys": [desk.id(strong)]}, key=weak)).status == 403
    assert (await desk.call("POST", "/key/update", {"key": weak, "rpm_limit": 2}, key=weak)).status == 403
    assert (await desk.post("/key/update", {"key": weak, "rpm_limit": 0}, key=weak))["rpm_limit"] == 0


async def test_whoever_is_blocked_is_let_in_again_by_an_admin_only(desk: Desk) -> None:
    weak, sister = await desk.key(user_id="u"), await desk.key(user_id="u")
    await desk.post("/key/block", {"key": weak}, key=sister)
    assert (await desk.call("POST", "/key/unblock", {"key": weak}, key=sister)).status == 403
    assert (await desk.call("POST", "/key/update", {"key": weak, "blocked": False}, key=sister)).status == 403
    await desk.post("/key/unblock", {"key": weak})
    assert (await desk.call("GET", "/v1/models", key=weak)).status == 200


# -- changing ----------------------------------------------------------------------------------------------------------


async def test_a_change_is_in_force_at_once_and_leaves_all_else(desk: Desk) -> None:
    key = await desk.key(rpm_limit=1, tpm_limit=2, metadata={"a": 1})
    await desk.get("/v1/models", key=key)
    changed = await desk.post("/key/update", {"key": desk.id(key), "rpm_limit": 7, "tpm_limit": None})
    assert (changed["key"], changed["rpm_limit"], changed["tpm_limit"], changed["metadata"]) == (
        desk.id(key),
        7,
        None,
        {"a": 1},
    )
    assert [one.ceiling for one in (await desk.keys.find([key.encode()])).limits.requests] == [7]


@pytest.mark.requirement("access.revocation")
@pytest.mark.parametrize(("path", "name"), [("/key/delete", "keys"), ("/key/block", "key")])
async def test_whoever_loses_a_key_loses_it_at_once(desk: Desk, path: str, name: str) -> None:
    key = await desk.key()
    await desk.get("/v1/models", key=key)
    await desk.post(path, {name: [key] if name == "keys" else key})
    assert (await desk.call("GET", "/v1/models", key=key)).status in {401, 403}


async def test_keys_are_deleted_by_alias_too_all_or_none(desk: Desk) -> None:
    first, second = await desk.key(key_alias="a"), await desk.key(key_alias="b")
    answered = await desk.call("POST", "/key/delete", {"keys": [first], "key_aliases": ["b", "c"]})
    assert answered.status == 404
    assert len(desk.records.tables["keys"]) == 2
    gone = await desk.post("/key/delete", {"keys": [first, desk.id(first)], "key_aliases": ["b"]})
    assert gone == {"deleted_keys": [desk.id(first), desk.id(second)]}
    assert not desk.records.tables["keys"]
    assert (await desk.call("POST", "/key/delete", {})).status == 400


async def test_another_key_takes_the_place_of_one_with_its_name_terms_and_spend(desk: Desk) -> None:
    old = await desk.key(key_alias="a", max_budget=5, user_id="u")
    child = await desk.key(by=old)
    desk.records.events.append(spent(desk.id(old), 10**9))
    made = await desk.post(f"/key/{desk.id(old)}/regenerate", {"rpm_limit": 9})
    assert (made["key_alias"], made["max_budget"], made["rpm_limit"], made["spend"]) == ("a", 5, 9, 1)
    assert (await desk.call("GET", "/v1/models", key=old)).status == 401
    assert (await desk.call("GET", "/v1/models", key=made["key"])).status == 200
    assert (await desk.call("GET", "/v1/models", key=child)).status == 200
    assert (await desk.get("/key/info", key=made["key"]))["info"]["spend"] == 1


async def test_the_old_key_may_go_on_for_a_while(desk: Desk) -> None:
    old = await desk.key(key_alias="a")
    made = await desk.post("/key/regenerate", {"key": old, "grace_period": "1h"})
    assert (await desk.call("GET", "/v1/models", key=old)).status == 200
    found = [await desk.keys.find([key.encode()]) for key in (old, made["key"])]
    assert found[0].account == found[1].account
    desk.time += 3600
    assert (await desk.call("GET", "/v1/models", key=old)).status == 401
    assert (await desk.call("GET", "/v1/models", key=made["key"])).status == 200


async def test_a_key_of_litellm_is_replaced_by_one_of_ours(desk: Desk) -> None:
    key = "sk-canary-of-litellm-000001"
    row_id = Pepper(b"").ids(key.encode())[1][0]
    await desk.records.change([Change("keys", row_id, {"form": "sha256", "account": row_id, "key_alias": "old"})])
    assert (await desk.get("/key/info", key=key))["key"] == row_id
    made = await desk.post("/key/regenerate", {"key": key})
    assert made["token"] == desk.id(made["key"])
    assert (await desk.get("/key/info", key=made["key"]))["info"]["key_alias"] == "old"


async def test_spend_is_told_by_model_and_counts_for_the_budget_of_the_moment(desk: Desk) -> None:
    key = await desk.key(max_budget=5, budget_duration="1d")
    desk.records.events += [
        spent(desk.id(key), 10**9, NOW - 90_000, model="m"),
        spent(desk.id(key), 2 * 10**9, model="n", input_tokens=3, output_tokens=4, requests=2),
        spent("other", 10**9, model="m"),
    ]
    found = await desk.get(f"/key/{desk.id(key)}/spend", "start_date=2027-01-01", key=key)
    assert (found["spend"], found["max_budget"]) == (2, 5)
    assert [(one["model"], one["spend"], one["total_tokens"], one["api_requests"]) for one in found["models"]] == [
        ("n", 2, 7, 2),
        ("m", 1, 0, 1),
    ]
    assert (await desk.get("/key/info", key=key))["info"]["spend"] == 2


async def test_spend_can_be_forgiven_but_not_forgotten(desk: Desk) -> None:
    key = await desk.key(max_budget=5)
    desk.records.events.append(spent(desk.id(key), 10**9, NOW - 10))
    assert (await desk.post(f"/key/{desk.id(key)}/reset_spend", {}))["spend"] == 0
    assert (await desk.get("/key/info", key=key))["info"]["spend"] == 0
    assert (await desk.get("/global/spend"))["spend"] == 1
    assert (await desk.call("POST", f"/key/{desk.id(key)}/reset_spend", {"reset_to": 1})).status == 400
    assert (await desk.call("POST", f"/key/{desk.id(key)}/reset_spend", {}, key=key)).status == 403


@pytest.mark.requirement("access.audit")
async def test_each_change_is_written_down_with_what_was_before(desk: Desk) -> None:
    key = await desk.key(key_alias="a", rpm_limit=1)
    await desk.post("/key/update", {"key": key, "rpm_limit": 2})
    await desk.post("/key/block", {"key": key})
    await desk.post("/key/delete", {"keys": [key]})
    log = [(one.who, one.what, one.target) for one in desk.records.log]
    assert log == [("master", what, desk.id(key)) for what in ("key.generate", "key.update", "key.block", "key.delete")]
    assert [one.before and one.before.get("rpm_limit") for one in desk.records.log[:2]] == [None, 1]
    assert [one.after and one.after.get("rpm_limit") for one in desk.records.log] == [1, 2, 2, None]
    assert desk.records.log[3].before[desk.id(key)]["key_alias"] == "a"


async def test_whoever_was_slower_begins_again_with_what_is_there_now(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await desk.key(tpm_limit=1)
    change = desk.records.change
    others = [5, 6]

    async def meddle(changes: Any, audit: Any = None) -> None:
        if others:
            row = desk.records.tables["keys"][desk.id(key)]
            await change([Change("keys", row.id, {**row.doc, "tpm_limit": others.pop(0)})])
        await change(changes, audit)

    monkeypatch.setattr(desk.records, "change", meddle)
    changed = await desk.post("/key/update", {"key": key, "rpm_limit": 9})
    assert (changed["rpm_limit"], changed["tpm_limit"]) == (9, 6)
    others += range(100)
    answered = await desk.call("POST", "/key/update", {"key": key, "rpm_limit": 10})
    assert answered.status == 503


async def test_when_the_store_is_away_that_is_said(desk: Desk) -> None:
    desk.records.is_down = True
    for method, path in (("POST", "/key/generate"), ("GET", "/key/list")):
        answered = await desk.call(method, path)
        assert (answered.status, answered.json["error"]["code"]) == (503, "store_unavailable")
    assert (await desk.call("GET", "/v1/models", key="sk-canary-unknown")).status == 503


async def test_whoever_has_a_valid_key_is_told_so(desk: Desk) -> None:
    assert (await desk.post("/key/health", key=await desk.key()))["key"] == "healthy"
    assert (await desk.call("POST", "/key/health", key="sk-canary-unknown")).status == 401


async def test_the_master_names_the_key_that_he_asks_for(desk: Desk) -> None:
    assert (await desk.call("GET", "/key/info")).status == 400
    assert (await desk.call("GET", "/key/info", query="key=sk-canary-unknown")).json == {"detail": "Key not found"}


# -- what a key must not become ----------------------------------------------------------------------------------------


@pytest.mark.requirement("access.grants")
async def test_an_admin_of_a_team_gets_no_key_of_a_stranger(desk: Desk) -> None:
    chief = await desk.key_of("team_admin")
    await desk.post("/user/new", {"user_id": "ceo", "auto_create_key": False})
    theirs = await desk.key(team_id="crew", user_id="ceo")
    loose = await desk.key(by=chief)
    for path, asked in (
        ("/key/generate", {"user_id": "ceo"}),
        ("/key/update", {"key": loose, "user_id": "ceo"}),
        ("/key/regenerate", {"key": theirs}),
        ("/key/regenerate", {"key": loose, "user_id": "ceo"}),
        ("/team/member_add", {"team_id": "crew", "member": {"user_id": "ceo"}}),
    ):
        assert (await desk.call("POST", path, asked, key=chief)).status == 403, path
    assert desk.records.tables["keys"][desk.id(loose)].doc["user_id"] == "team_admin"
    await desk.post("/key/block", {"key": theirs}, key=chief)


@pytest.mark.requirement("access.grants")
async def test_a_key_that_an_admin_of_a_team_makes_for_a_member_sees_itself_only(desk: Desk) -> None:
    chief = await desk.key_of("team_admin")
    await desk.post("/team/member_add", {"team_id": "crew", "member": {"user_id": "m"}})
    secret = await desk.key(user_id="m", key_alias="secret")
    made = await desk.key(by=chief, user_id="m")
    desk.records.events += [spent("elsewhere", 10**9, user_id="m"), spent(desk.id(made), 1, user_id="m")]
    assert (await desk.get("/key/list", key=made))["keys"] == [desk.id(made)]
    assert (await desk.call("GET", "/key/info", key=made, query=f"key={desk.id(secret)}")).status == 404
    assert (await desk.call("GET", "/user/info", key=made, query="user_id=m")).status == 404
    assert (await desk.call("GET", "/user/info", key=made)).status == 400
    assert [one["api_key"] for one in await desk.get("/spend/logs", key=made)] == [desk.id(made)]
    assert (await desk.call("POST", "/key/generate", {}, key=made)).status == 403
    assert (await desk.call("GET", "/v1/models", key=made)).status == 200
    assert len(await desk.get("/spend/logs", key=secret)) == 2


@pytest.mark.requirement("access.grants")
async def test_an_admin_whose_key_ends_makes_no_admin_that_does_not(desk: Desk) -> None:
    await desk.key_of("admin")
    brief = await desk.key(user_id="admin", duration="1d")
    for path, asked in (
        ("/key/generate", {"user_id": "admin"}),
        ("/key/generate", {"user_id": "admin", "duration": "2d"}),
        ("/key/update", {"key": brief, "duration": "-1"}),
        ("/user/new", {"user_role": "proxy_admin"}),
    ):
        assert (await desk.call("POST", path, asked, key=brief)).status == 403, (path, asked)
    assert (await desk.post("/key/generate", {"user_id": "admin", "duration": "1h"}, key=brief))["expires"]
    assert (await desk.post("/key/generate", {"user_id": "somebody"}, key=brief))["expires"] is None


async def test_a_key_does_not_say_what_its_spend_is_booked_as(desk: Desk) -> None:
    mine = await desk.key(user_id="u", tags=["billing:a"], key_alias="a")
    sister = await desk.key(user_id="u", tags=["billing:a"])
    for path in ("/key/update", "/key/regenerate"):
        for name, value in (("tags", []), ("metadata", {}), ("key_alias", "b")):
            for key in (mine, sister):
                assert (await desk.call("POST", path, {"key": key, name: value}, key=mine)).status == 403
    child = await desk.post("/key/generate", {}, key=mine)
    assert child["tags"] == ["billing:a"]
    more = {"key": child["key"], "tags": ["billing:a", "mine"], "key_alias": "child"}
    assert (await desk.post("/key/update", more, key=mine))["key_alias"] == "child"
    cases: tuple[tuple[str, dict[str, Any]], ...] = (("/key/generate", {}), ("/key/update", {"key": child["key"]}))
    for path, asked in cases:
        assert (await desk.call("POST", path, {**asked, "tags": ["billing:b"]}, key=mine)).status == 403
    assert (await desk.post("/key/update", {"key": mine, "tags": ["billing:b"]}))["tags"] == ["billing:b"]


@pytest.mark.requirement("access.revocation")
@pytest.mark.parametrize(
    ("path", "name"), [("/key/block", "key"), ("/key/delete", "keys"), ("/key/delete", "key_aliases"), ("", "")]
)
async def test_whoever_loses_a_key_loses_those_whose_place_it_has_taken(desk: Desk, path: str, name: str) -> None:
    oldest = await desk.key(key_alias="a", user_id="u")
    older = (await desk.post("/key/regenerate", {"key": oldest, "grace_period": "1h"}))["key"]
    newest = (await desk.post("/key/regenerate", {"key": older, "grace_period": "2h"}))["key"]
    if path:
        asked = {"key": newest, "keys": [newest], "key_aliases": ["a"]}[name]
        await desk.post(path, {name: asked}, key=newest)
    else:
        await desk.post("/key/update", {"key": newest, "blocked": True})
    for key in (oldest, older, newest):
        assert (await desk.call("GET", "/v1/models", key=key)).status in {401, 403}


async def test_an_old_key_is_stopped_alone_and_let_in_alone(desk: Desk) -> None:
    old = await desk.key()
    new = (await desk.post("/key/regenerate", {"key": old, "grace_period": "1h"}))["key"]
    await desk.post("/key/block", {"key": old})
    assert (await desk.call("GET", "/v1/models", key=new)).status == 200
    await desk.post("/key/block", {"key": new})
    await desk.post("/key/unblock", {"key": new})
    assert [(await desk.call("GET", "/v1/models", key=key)).status for key in (old, new)] == [403, 200]
    for key in (old, new):
        await desk.post("/key/unblock", {"key": key})
    assert (await desk.call("GET", "/v1/models", key=old)).status == 200


async def test_a_key_that_ends_before_its_grace_does_goes_on_until_then(desk: Desk) -> None:
    old = await desk.key(duration="1h")
    await desk.post("/key/regenerate", {"key": old, "grace_period": "2h", "duration": "1d"})
    assert (await desk.call("GET", "/v1/models", key=old)).status == 200
    desk.time += 3600
    assert (await desk.call("GET", "/v1/models", key=old)).status == 401


async def test_so_many_old_keys_go_on_and_no_more(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pointsman.edge.routes.keys.MAX_REPLACED", 1)
    key = await desk.key()
    key = (await desk.post("/key/regenerate", {"key": key, "grace_period": "1h"}))["key"]
    answered = await desk.call("POST", "/key/regenerate", {"key": key, "grace_period": "1h"})
    assert (answered.status, answered.json["error"]["param"]) == (400, "grace_period")
    desk.time += 3600
    await desk.post("/key/regenerate", {"key": key, "grace_period": "1h"})


async def test_what_is_said_takes_the_place_of_that_alone(desk: Desk) -> None:
    routes = ["/key/generate", "llm_api_routes"]
    mine = await desk.key(user_id="u", duration="1d", allowed_routes=routes)
    shorter = await desk.post("/key/generate", {"duration": "1h"}, key=mine)
    assert (shorter["allowed_routes"], shorter["expires"][:13]) == (routes, "2027-01-15T09")
    narrower = await desk.post("/key/generate", {"key_type": "llm_api"}, key=mine)
    assert (narrower["allowed_routes"], narrower["expires"][:13]) == (["llm_api_routes"], "2027-01-16T08")


async def test_the_master_key_is_no_virtual_key(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pointsman.edge.routes.keys.MIN_KEY", 8)
    key = await desk.key()
    for path, asked in (
        ("/key/generate", {"key": "sk-master-canary"}),
        ("/key/regenerate", {"key": key, "new_key": "sk-master-canary"}),
    ):
        assert (await desk.call("POST", path, asked)).status == 400


async def test_a_query_has_its_bounds(desk: Desk) -> None:
    key = await desk.key()
    for query in ("&".join(f"a{n}=1" for n in range(120)), "page=" + "0" * 15 + "12", "size=" + "0" * 15 + "19"):
        assert (await desk.call("GET", "/key/list", query=query, key=key)).status == 400, query
    assert (await desk.get("/key/list", "page=01"))["current_page"] == 1
