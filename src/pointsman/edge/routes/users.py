"""Users: people and services, and the limits of all their keys together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pointsman.access.caller import Caller
from pointsman.access.keys import BudgetRow, Key, Name, Team, User, shown
from pointsman.access.policy import acts_for, may_raise, sees_all
from pointsman.edge.admin import MAX_ROWS, UNSPENT, Admin, Body, Held, Query, admin_of, allow, asks, changed, new, view
from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import json_reply
from pointsman.errors import InvalidRequest, ResourceNotFound
from pointsman.store.base import Change

WHAT = "User"
NEW = Body(asks(User, "teams", user_id=Name, auto_create_key=bool, key_alias=Name), User)
UPDATE = Body(asks(User, "teams", user_id=Name), User, needs=("user_id",))
DELETE = Body(
    msgspec.defstruct("UsersNamed", [("user_ids", tuple[Name, ...] | None, None)], frozen=True), needs=("user_ids",)
)


async def create(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /user/new``: a user and, unless ``auto_create_key`` is false, a first key."""
    admin, caller = await admin_of(serving), exchange.caller
    given = await NEW.read(exchange)
    row_id = given.pop("user_id", None) or admin.make_id()
    user = new(User, given, **admin.made(caller))
    allow(may_raise(caller, user.user_role))
    await _check_budget(admin, user)
    if await admin.get(User, row_id) is not None:
        raise InvalidRequest("That user_id is taken: choose another one", param="user_id")
    told = _told(row_id, user, admin, UNSPENT)
    changes = [Held(row_id, user, 0).change(user)]
    if given.get("auto_create_key") is not False:
        made = admin.make_key()
        changes.append(_first_key(admin, caller, made, row_id, given.get("key_alias")))
        told |= {"key": made, "token": changes[1].id}

    async def write() -> None:
        await admin.write(caller, "user.new", row_id, changes, None, user)

    await admin.again(write)
    json_reply(exchange, told)


async def update(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /user/update``: what is named is changed, all else stays."""
    admin, caller = await admin_of(serving), exchange.caller
    given = await UPDATE.read(exchange)
    row_id = given.pop("user_id")

    async def write() -> User:
        before = await admin.need(User, row_id, WHAT)
        after = changed(before.row, given, **admin.changed(caller))
        if after.user_role != before.row.user_role:
            allow(may_raise(caller, after.user_role))
        await _check_budget(admin, after)
        await admin.write(caller, "user.update", row_id, [before.change(after)], before.row, after)
        return after

    user = await admin.again(write)
    json_reply(
        exchange, {"user_id": row_id, "data": _told(row_id, user, admin, await admin.standing("user", row_id, user))}
    )


async def delete(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /user/delete``: users with all their keys, or none."""
    admin, caller = await admin_of(serving), exchange.caller
    ids = tuple(dict.fromkeys((await DELETE.read(exchange))["user_ids"]))

    async def write() -> None:
        found = [await admin.need(User, row_id, WHAT) for row_id in ids]
        keys = await admin.find(Key, {"user_id": ids})
        if len(keys) >= MAX_ROWS:
            raise InvalidRequest("These users have too many keys: delete keys first", param="user_ids")
        teams = await _without(admin, caller, found)
        changes = [one.change(None) for one in found] + [one.change(None) for one in keys] + teams
        before = {one.id: view(one.row, admin.now()) for one in found} | {"keys": [one.id for one in keys]}
        target = ids[0] if len(ids) == 1 else ""
        await admin.write(caller, "user.delete", target, changes, msgspec.to_builtins(before))

    await admin.again(write)
    json_reply(exchange, {"deleted_users": ids})


async def info(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /user/info?user_id=``: a user with his keys and teams; without one, the user of the key that asks."""
    admin, caller, query = await admin_of(serving), exchange.caller, Query(exchange)
    mine = acts_for(caller)
    row_id = query.text("user_id") or mine
    if row_id is None:
        raise InvalidRequest("Name it: ?user_id=", param="user_id")
    if not (sees_all(caller) or mine == row_id):
        raise ResourceNotFound(f"{WHAT} not found")
    found = await admin.need(User, row_id, WHAT)
    keys = [view(one.row, admin.now(), token=one.id) for one in await admin.find(Key, {"user_id": row_id}, limit=1000)]
    teams = []
    for name in found.row.teams:
        team = await admin.get(Team, name)
        if team is not None:
            teams.append(view(team.row, admin.now(), team_id=name))
    told = _told(row_id, found.row, admin, await admin.standing("user", row_id, found.row))
    json_reply(exchange, {"user_id": row_id, "user_info": told, "keys": keys, "teams": teams})


async def list_users(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /user/list``."""
    admin, query = await admin_of(serving), Query(exchange)
    page = query.page()
    email = query.text("user_email")
    found, total = await admin.page(User, {} if email is None else {"user_email": email}, page)
    told = [_told(one.id, one.row, admin, await admin.standing("user", one.id, one.row)) for one in found]
    pages = -(-total // page.size)
    json_reply(
        exchange,
        {"users": told, "total": total, "page": page.number, "page_size": page.size, "total_pages": pages},
    )


def _told(row_id: str, user: User, admin: Admin, standing: Mapping[str, Any]) -> dict[str, Any]:
    return view(user, admin.now(), user_id=row_id, **standing)


def _first_key(admin: Admin, caller: Caller, made: str, user_id: str, alias: str | None) -> Change:
    row_id = admin.pepper.digest(made.encode()).hex()
    key = Key(
        key_name=shown(made),
        key_alias=alias,
        account=row_id,
        user_id=user_id,
        # An admin whose key is for some routes makes none for more.
        allowed_routes=() if caller.key is None else caller.key.allowed_routes,
        **admin.made(caller),
    )
    return Held(row_id, key, 0).change(key)


async def _without(admin: Admin, caller: Caller, users: list[Held[User]]) -> list[Change]:
    """The teams of users who are no more."""
    names = {one.id for one in users}
    changes = []
    for row_id in dict.fromkeys(team for one in users for team in one.row.teams):
        found = await admin.get(Team, row_id)
        if found is not None:
            stay = tuple(one for one in found.row.members_with_roles if one.user_id not in names)
            changes.append(found.change(changed(found.row, {"members_with_roles": stay}, **admin.changed(caller))))
    return changes


async def _check_budget(admin: Admin, user: User) -> None:
    if user.budget_id is not None and await admin.get(BudgetRow, user.budget_id) is None:
        raise InvalidRequest("There is no such budget", param="budget_id")
