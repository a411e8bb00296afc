from __future__ import annotations

from typing import Any

import pytest

Desk = Any


async def test_a_team_is_made_changed_shown_and_deleted_with_its_keys(desk: Desk) -> None:
    asked = {
        "team_alias": "The Crew",
        "max_budget": 5,
        "budget_duration": "1d",
        "members_with_roles": [{"user_id": "u"}],
    }
    made = await desk.post("/team/new", asked)
    team = made["team_id"]
    assert (made["team_alias"], made["max_budget"], made["spend"]) == ("The Crew", 5, 0)
    key = await desk.key(team_id=team)
    changed = await desk.post("/team/update", {"team_id": team, "max_budget": 6})
    assert (changed["team_id"], changed["data"]["max_budget"], changed["data"]["team_alias"]) == (team, 6, "The Crew")
    shown = await desk.get("/team/info", f"team_id={team}")
    assert [one["token"] for one in shown["keys"]] == [desk.id(key)]
    assert (await desk.get("/user/info", "user_id=u"))["teams"][0]["team_id"] == team
    assert (await desk.post("/team/delete", {"team_ids": [team]})) == {"deleted_teams": [team]}
    assert (await desk.call("GET", "/v1/models", key=key)).status == 401
    assert (await desk.get("/user/info", "user_id=u"))["teams"] == []
    assert (await desk.call("GET", "/team/info", query=f"team_id={team}")).status == 404


@pytest.mark.parametrize(
    ("path", "asked", "status"),
    [
        ("/team/new", {"team_id": "t"}, 400),
        ("/team/new", {"organization_id": "nobody"}, 400),
        ("/team/new", {"budget_id": "nobody"}, 400),
        ("/team/new", {"max_budget": "x"}, 400),
        ("/team/update", {"rpm_limit": 1}, 400),
        ("/team/update", {"team_id": "nobody"}, 404),
        ("/team/update", {"team_id": "t", "members_with_roles": [{"user_id": "u"}]}, 400),
        ("/team/delete", {"team_ids": ["t", "nobody"]}, 404),
        ("/team/block", {"team_id": "nobody"}, 404),
        ("/team/member_add", {"team_id": "t", "member": {"user_id": "u", "role": "root"}}, 400),
        ("/team/member_delete", {"team_id": "t", "user_id": "nobody"}, 404),
    ],
)
async def test_what_makes_no_sense_changes_nothing(desk: Desk, path: str, asked: Any, status: int) -> None:
    await desk.post("/team/new", {"team_id": "t"})
    before = dict(desk.records.tables["teams"])
    assert (await desk.call("POST", path, asked)).status == status
    assert desk.records.tables["teams"] == before


async def test_a_blocked_team_is_refused_with_all_its_keys(desk: Desk) -> None:
    await desk.post("/team/new", {"team_id": "t"})
    key = await desk.key(team_id="t")
    for path, status in (("/team/block", 403), ("/team/unblock", 200)):
        await desk.post(path, {"team_id": "t"})
        assert (await desk.call("GET", "/v1/models", key=key)).status == status


async def test_members_come_and_go_with_their_keys(desk: Desk) -> None:
    await desk.post("/team/new", {"team_id": "t"})
    members = [{"user_id": "a"}, {"user_id": "b", "role": "admin"}]
    added = await desk.post("/team/member_add", {"team_id": "t", "member": members})
    assert [(one["user_id"], one["role"]) for one in added["members_with_roles"]] == [("a", "user"), ("b", "admin")]
    key, other = await desk.key(team_id="t", user_id="a"), await desk.key(user_id="a")
    gone = await desk.post("/team/member_delete", {"team_id": "t", "user_id": "a"})
    assert [one["user_id"] for one in gone["members_with_roles"]] == ["b"]
    assert (await desk.call("GET", "/v1/models", key=key)).status == 401
    assert (await desk.call("GET", "/v1/models", key=other)).status == 200
    assert (await desk.get("/user/info", "user_id=a"))["user_info"]["teams"] == []


async def test_whoever_belongs_to_several_teams_leaves_all_that_end(desk: Desk) -> None:
    for name in ("s", "t"):
        await desk.post("/team/new", {"team_id": name, "members_with_roles": [{"user_id": "u"}]})
    await desk.post("/team/delete", {"team_ids": ["s", "t", "s"]})
    assert (await desk.get("/user/info", "user_id=u"))["user_info"]["teams"] == []


async def test_an_admin_of_a_team_changes_who_belongs_to_it_but_brings_in_nobody(desk: Desk) -> None:
    chief = await desk.key_of("team_admin")
    await desk.post("/team/new", {"team_id": "other"})
    for user in ("u", "stranger"):
        await desk.post("/user/new", {"user_id": user})
    await desk.post("/team/member_add", {"team_id": "crew", "member": {"user_id": "u"}})
    asked = {"team_id": "crew", "member": {"user_id": "u", "role": "admin"}}
    await desk.post("/team/member_add", asked, key=chief)
    new = await desk.key(user_id="u", team_id="crew")
    assert (await desk.get("/team/info", key=new))["keys"]
    for team, user, status in (("crew", "unknown", 403), ("crew", "stranger", 403), ("other", "u", 404)):
        asked = {"team_id": team, "member": {"user_id": user}}
        assert (await desk.call("POST", "/team/member_add", asked, key=chief)).status == status


async def test_a_key_sees_its_own_team_without_the_keys_of_others(desk: Desk) -> None:
    member = await desk.key_of("key")
    await desk.post("/team/new", {"team_id": "other"})
    assert [one["team_id"] for one in await desk.get("/team/list", key=member)] == ["crew"]
    assert (await desk.get("/team/info", key=member))["keys"] == []
    assert (await desk.call("GET", "/team/info", key=member, query="team_id=other")).status == 404
    assert {one["team_id"] for one in await desk.get("/team/list")} == {"crew", "other"}
    assert [one["team_id"] for one in await desk.get("/team/list", "user_id=key")] == ["crew"]
    assert (await desk.get("/team/list", key=await desk.key())) == []


async def test_an_organization_is_above_its_teams_and_stays_while_it_has_any(desk: Desk) -> None:
    made = await desk.post("/organization/new", {"organization_alias": "Us", "rpm_limit": 3})
    name = made["organization_id"]
    await desk.post("/team/new", {"team_id": "t", "organization_id": name})
    key = await desk.key(team_id="t")
    changed = await desk.call("PATCH", "/organization/update", {"organization_id": name, "rpm_limit": 4})
    assert (changed.status, changed.json["rpm_limit"]) == (200, 4)
    assert [one.ceiling for one in (await desk.keys.find([key.encode()])).limits.requests] == [4]
    shown = await desk.get("/organization/info", f"organization_id={name}")
    assert [one["team_id"] for one in shown["teams"]] == ["t"]
    assert [one["organization_id"] for one in await desk.get("/organization/list")] == [name]
    gone = await desk.call("DELETE", "/organization/delete", {"organization_ids": [name]})
    assert gone.status == 400
    await desk.post("/team/delete", {"team_ids": ["t"]})
    gone = await desk.call("DELETE", "/organization/delete", {"organization_ids": [name]})
    assert (gone.status, gone.json) == (200, {"deleted_organizations": [name]})
    assert (desk.records.log[-1].what, desk.records.log[-1].target) == ("organization.delete", name)


@pytest.mark.requirement("access.audit")
async def test_each_change_of_a_team_is_written_down(desk: Desk) -> None:
    await desk.post("/team/new", {"team_id": "t"})
    await desk.post("/team/update", {"team_id": "t", "rpm_limit": 1})
    await desk.post("/team/member_add", {"team_id": "t", "member": {"user_id": "u"}})
    await desk.post("/team/block", {"team_id": "t"})
    await desk.post("/team/delete", {"team_ids": ["t"]})
    assert [(one.what, one.target) for one in desk.records.log] == [
        (what, "t") for what in ("team.new", "team.update", "team.member_add", "team.block", "team.delete")
    ]
