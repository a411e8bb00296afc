from __future__ import annotations

from typing import Any

import pytest

Desk = Any


async def test_a_user_is_made_with_a_key_unless_none_is_wanted(desk: Desk) -> None:
    made = await desk.post("/user/new", {"user_id": "u", "user_email": "u@example.com", "max_budget": 3})
    assert (made["user_id"], made["user_email"], made["max_budget"], made["user_role"]) == (
        "u",
        "u@example.com",
        3,
        "internal_user",
    )
    shown = await desk.get("/user/info", key=made["key"])
    assert (shown["user_id"], [one["token"] for one in shown["keys"]]) == ("u", [made["token"]])
    assert "key" not in await desk.post("/user/new", {"auto_create_key": False})


@pytest.mark.requirement("access.grants")
async def test_the_key_of_a_user_whom_a_narrow_key_makes_is_as_narrow(desk: Desk) -> None:
    await desk.key_of("admin")
    narrow = await desk.key(user_id="admin", allowed_routes=["/user/new"])
    made = await desk.post("/user/new", {}, key=narrow)
    assert (await desk.get("/key/info", f"key={made['key']}"))["info"]["allowed_routes"] == ["/user/new"]


@pytest.mark.requirement("access.grants")
async def test_a_narrow_key_makes_no_admin_of_whoever_has_a_wide_one(desk: Desk) -> None:
    await desk.key_of("admin")
    narrow = await desk.key(user_id="admin", allowed_routes=["/user/*"])
    for user in ("w", "later"):
        await desk.key(user_id=user)
    await desk.post("/user/new", {"user_id": "w"})
    for path, user in (("/user/update", "w"), ("/user/new", "later")):
        for role in ("proxy_admin", "proxy_admin_viewer"):
            answered = await desk.call("POST", path, {"user_id": user, "user_role": role}, key=narrow)
            assert (answered.status, answered.json["error"]["param"]) == (403, "user_role")
    await desk.post("/user/update", {"user_id": "w", "user_role": "proxy_admin"})
    await desk.post("/user/update", {"user_id": "w", "rpm_limit": 1}, key=narrow)
    await desk.post("/user/update", {"user_id": "w", "user_role": "internal_user"}, key=narrow)


async def test_the_limits_of_a_user_are_those_of_all_his_keys(desk: Desk) -> None:
    key = (await desk.post("/user/new", {"user_id": "u"}))["key"]
    changed = await desk.post("/user/update", {"user_id": "u", "rpm_limit": 4})
    assert changed["data"]["rpm_limit"] == 4
    assert [one.key for one in (await desk.keys.find([key.encode()])).limits.requests] == ["rpm:user:u"]


async def test_a_role_is_in_force_at_once(desk: Desk) -> None:
    key = (await desk.post("/user/new", {"user_id": "u"}))["key"]
    for role, status in (("proxy_admin_viewer", 200), ("internal_user", 403), ("proxy_admin", 200)):
        await desk.post("/user/update", {"user_id": "u", "user_role": role})
        assert (await desk.call("GET", "/user/list", key=key)).status == status


async def test_a_user_goes_with_his_keys_and_out_of_his_teams(desk: Desk) -> None:
    key = (await desk.post("/user/new", {"user_id": "u"}))["key"]
    for name in ("s", "t"):
        await desk.post("/team/new", {"team_id": name, "members_with_roles": [{"user_id": "u"}, {"user_id": "v"}]})
    assert await desk.post("/user/delete", {"user_ids": ["u", "v"]}) == {"deleted_users": ["u", "v"]}
    assert (await desk.call("GET", "/v1/models", key=key)).status == 401
    assert [one["members_with_roles"] for one in await desk.get("/team/list")] == [[], []]
    assert (await desk.call("GET", "/user/info", query="user_id=u")).status == 404


async def test_a_key_sees_its_own_user_only(desk: Desk) -> None:
    key = (await desk.post("/user/new", {"user_id": "u"}))["key"]
    await desk.post("/user/new", {"user_id": "x"})
    assert (await desk.call("GET", "/user/info", key=key, query="user_id=x")).status == 404
    assert (await desk.get("/user/info", key=key))["user_id"] == "u"
    assert (await desk.call("GET", "/user/info", key=await desk.key())).status == 400


async def test_users_are_listed_in_pages(desk: Desk) -> None:
    for number in range(3):
        desk.time += 1
        await desk.post("/user/new", {"user_id": f"u{number}", "user_email": f"{number}@x"})
    page = await desk.get("/user/list", "page=2&page_size=2")
    assert ([one["user_id"] for one in page["users"]], page["total"], page["total_pages"]) == (["u0"], 3, 2)
    assert [one["user_id"] for one in (await desk.get("/user/list", "user_email=1@x"))["users"]] == ["u1"]


@pytest.mark.parametrize(
    ("path", "asked", "status"),
    [
        ("/user/new", {"user_id": "u"}, 400),
        ("/user/new", {"user_role": "root"}, 400),
        ("/user/new", {"budget_id": "nobody"}, 400),
        ("/user/new", {"teams": ["t"]}, 400),
        ("/user/new", {"user_id": "w", "key_alias": "taken"}, 400),
        ("/user/update", {"user_role": "proxy_admin"}, 400),
        ("/user/update", {"user_id": "nobody"}, 404),
        ("/user/delete", {"user_ids": ["u", "nobody"]}, 404),
    ],
)
async def test_what_makes_no_sense_changes_nothing(desk: Desk, path: str, asked: Any, status: int) -> None:
    await desk.post("/user/new", {"user_id": "u", "key_alias": "taken"})
    before = dict(desk.records.tables["users"])
    assert (await desk.call("POST", path, asked)).status == status
    assert desk.records.tables["users"] == before


@pytest.mark.requirement("access.audit")
async def test_each_change_of_a_user_is_written_down_without_his_key(desk: Desk) -> None:
    await desk.post("/user/new", {"user_id": "u"})
    await desk.post("/user/update", {"user_id": "u", "user_role": "proxy_admin"})
    await desk.post("/user/delete", {"user_ids": ["u"]})
    assert [(one.what, one.target) for one in desk.records.log] == [
        (what, "u") for what in ("user.new", "user.update", "user.delete")
    ]
    assert desk.records.log[1].after["user_role"] == "proxy_admin"
    assert "canary" not in repr(desk.records.log)
