"""Teams, who belongs to them, and the organizations that they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pointsman.access.caller import Caller
from pointsman.access.keys import BudgetRow, Key, Member, Name, Organization, Team, User
from pointsman.access.policy import is_admin, sees_all
from pointsman.edge.admin import MAX_ROWS, UNSPENT, Admin, Body, Held, Query, admin_of, asks, changed, new, view
from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import json_reply
from pointsman.errors import Forbidden, InvalidRequest, ResourceNotFound
from pointsman.store.base import Change

WHAT = "Team"
Members = Member | tuple[Member, ...]
NEW = Body(asks(Team, team_id=Name), Team)
UPDATE = Body(asks(Team, "members_with_roles", team_id=Name), Team, needs=("team_id",))
DELETE = Body(
    msgspec.defstruct("TeamsNamed", [("team_ids", tuple[Name, ...] | None, None)], frozen=True), needs=("team_ids",)
)
NAMED = Body(msgspec.defstruct("TeamNamed", [("team_id", Name | None, None)], frozen=True), needs=("team_id",))
ADD = Body(
    msgspec.defstruct("MemberAdd", [("team_id", Name | None, None), ("member", Members | None, None)], frozen=True),
    needs=("team_id", "member"),
)
REMOVE = Body(
    msgspec.defstruct("MemberDelete", [("team_id", Name | None, None), ("user_id", Name | None, None)], frozen=True),
    needs=("team_id", "user_id"),
)
NEW_ORGANIZATION = Body(asks(Organization, organization_id=Name), Organization)
UPDATE_ORGANIZATION = Body(asks(Organization, organization_id=Name), Organization, needs=("organization_id",))
DELETE_ORGANIZATIONS = Body(
    msgspec.defstruct("OrganizationsNamed", [("organization_ids", tuple[Name, ...] | None, None)], frozen=True),
    needs=("organization_ids",),
)


async def create(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /team/new``."""
    admin, caller = await admin_of(serving), exchange.caller
    given = await NEW.read(exchange)
    row_id = given.pop("team_id", None) or admin.make_id()
    team = new(Team, given, **admin.made(caller))
    await _check_references(admin, team)

    async def write() -> None:
        users = await _joined(admin, caller, row_id, team.members_with_roles)
        await admin.write(caller, "team.new", row_id, [Held(row_id, team, 0).change(team), *users], None, team)

    await _unless_there(admin, Team, row_id, "team_id")
    await admin.again(write)
    json_reply(exchange, _told(row_id, team, admin, UNSPENT))


async def update(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /team/update``: what is named is changed, all else stays."""
    admin, caller = await admin_of(serving), exchange.caller
    given = await UPDATE.read(exchange)
    row_id = given.pop("team_id")

    async def write() -> Team:
        before = await admin.need(Team, row_id, WHAT)
        after = changed(before.row, given, **admin.changed(caller))
        await _check_references(admin, after)
        await admin.write(caller, "team.update", row_id, [before.change(after)], before.row, after)
        return after

    team = await admin.again(write)
    json_reply(
        exchange, {"team_id": row_id, "data": _told(row_id, team, admin, await admin.standing("team", row_id, team))}
    )


async def delete(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /team/delete``: teams with all their keys, or none."""
    admin, caller = await admin_of(serving), exchange.caller
    ids = tuple(dict.fromkeys((await DELETE.read(exchange))["team_ids"]))

    async def write() -> None:
        found = [await admin.need(Team, row_id, WHAT) for row_id in ids]
        keys = await admin.find(Key, {"team_id": ids})
        if len(keys) >= MAX_ROWS:
            raise InvalidRequest("These teams have too many keys: delete keys first", param="team_ids")
        members = [one.user_id for team in found for one in team.row.members_with_roles]
        users = await _left(admin, caller, ids, members)
        changes = [one.change(None) for one in found] + [one.change(None) for one in keys] + users
        before = {one.id: view(one.row, admin.now()) for one in found} | {"keys": [one.id for one in keys]}
        target = ids[0] if len(ids) == 1 else ""
        await admin.write(caller, "team.delete", target, changes, msgspec.to_builtins(before))

    await admin.again(write)
    json_reply(exchange, {"deleted_teams": ids})


async def info(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /team/info?team_id=``: a team and its keys."""
    admin, caller, query = await admin_of(serving), exchange.caller, Query(exchange)
    row_id = query.text("team_id") or caller.team_id
    if row_id is None:
        raise InvalidRequest("Name it: ?team_id=", param="team_id")
    found = await _seen(admin, caller, row_id)
    keys = []
    if sees_all(caller) or caller.role == "team_admin":
        rows = await admin.find(Key, {"team_id": row_id}, limit=1000)
        keys = [view(one.row, admin.now(), token=one.id) for one in rows]
    told = _told(row_id, found.row, admin, await admin.standing("team", row_id, found.row))
    json_reply(exchange, {"team_id": row_id, "team_info": told, "keys": keys, "team_memberships": []})


async def list_teams(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /team/list``: all, or those of ``user_id`` or ``organization_id``; a key sees its own."""
    admin, caller, query = await admin_of(serving), exchange.caller, Query(exchange)
    organization, user = query.text("organization_id"), query.text("user_id")
    if sees_all(caller):
        where = {} if organization is None else {"organization_id": organization}
        teams = await admin.find(Team, where, limit=1000)
    else:
        own = None if caller.team_id is None else await admin.get(Team, caller.team_id)
        teams = [] if own is None else [own]
    if user is not None:
        teams = [one for one in teams if any(member.user_id == user for member in one.row.members_with_roles)]
    told = [_told(one.id, one.row, admin, await admin.standing("team", one.id, one.row)) for one in teams]
    json_reply(exchange, told)


async def block(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /team/block``: all its keys are refused from now on."""
    await _set_blocked(serving, exchange, is_blocked=True)


async def unblock(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /team/unblock``: they are let in again."""
    await _set_blocked(serving, exchange, is_blocked=False)


async def add_member(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /team/member_add``: one member or several; whoever belongs to it already gets the role that is named."""
    admin, caller = await admin_of(serving), exchange.caller
    given = await ADD.read(exchange)
    members = given["member"] if isinstance(given["member"], tuple) else (given["member"],)
    row_id = given["team_id"]

    async def write() -> Team:
        before = await _owned(admin, caller, row_id)
        names = {one.user_id for one in members}
        if not is_admin(caller) and not names <= {one.user_id for one in before.row.members_with_roles}:
            # His keys would be the team's admin's to make, and his budget to spend.
            raise Forbidden("Only an admin brings in somebody who does not belong to the team", param="member")
        stay = tuple(one for one in before.row.members_with_roles if one.user_id not in names)
        after = changed(before.row, {"members_with_roles": stay + members}, **admin.changed(caller))
        users = await _joined(admin, caller, row_id, members)
        await admin.write(caller, "team.member_add", row_id, [before.change(after), *users], before.row, after)
        return after

    team = await admin.again(write)
    json_reply(exchange, _told(row_id, team, admin, await admin.standing("team", row_id, team)))


async def remove_member(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /team/member_delete``: with the keys that he has for this team."""
    admin, caller = await admin_of(serving), exchange.caller
    given = await REMOVE.read(exchange)
    row_id, name = given["team_id"], given["user_id"]

    async def write() -> Team:
        before = await _owned(admin, caller, row_id)
        stay = tuple(one for one in before.row.members_with_roles if one.user_id != name)
        if len(stay) == len(before.row.members_with_roles):
            raise ResourceNotFound("Member not found")
        after = changed(before.row, {"members_with_roles": stay}, **admin.changed(caller))
        keys = await admin.find(Key, {"team_id": row_id, "user_id": name})
        users = await _left(admin, caller, (row_id,), (name,))
        changes = [before.change(after), *(one.change(None) for one in keys), *users]
        await admin.write(caller, "team.member_delete", row_id, changes, before.row, after)
        return after

    team = await admin.again(write)
    json_reply(exchange, _told(row_id, team, admin, await admin.standing("team", row_id, team)))


# -- organizations ----------------------------------------------------------------------------------------------------


async def create_organization(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /organization/new``."""
    admin, caller = await admin_of(serving), exchange.caller
    given = await NEW_ORGANIZATION.read(exchange)
    row_id = given.pop("organization_id", None) or admin.make_id()
    row = new(Organization, given, **admin.made(caller))
    await _check_budget(admin, row.budget_id)
    await _unless_there(admin, Organization, row_id, "organization_id")

    async def write() -> None:
        await admin.write(caller, "organization.new", row_id, [Held(row_id, row, 0).change(row)], None, row)

    await admin.again(write)
    json_reply(exchange, view(row, admin.now(), organization_id=row_id, spend=0.0))


async def update_organization(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``PATCH /organization/update``: what is named is changed, all else stays."""
    admin, caller = await admin_of(serving), exchange.caller
    given = await UPDATE_ORGANIZATION.read(exchange)
    row_id = given.pop("organization_id")

    async def write() -> Organization:
        before = await admin.need(Organization, row_id, "Organization")
        after = changed(before.row, given, **admin.changed(caller))
        await _check_budget(admin, after.budget_id)
        await admin.write(caller, "organization.update", row_id, [before.change(after)], before.row, after)
        return after

    row = await admin.again(write)
    standing = await admin.standing("organization", row_id, row)
    json_reply(exchange, view(row, admin.now(), organization_id=row_id, **standing))


async def delete_organizations(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``DELETE /organization/delete``: those that no team and no key belongs to."""
    admin, caller = await admin_of(serving), exchange.caller
    ids = tuple(dict.fromkeys((await DELETE_ORGANIZATIONS.read(exchange))["organization_ids"]))

    async def write() -> None:
        found = [await admin.need(Organization, row_id, "Organization") for row_id in ids]
        for kind in (Team, Key):
            if await admin.find(kind, {"organization_id": ids}, limit=1):
                raise InvalidRequest("Teams or keys belong to it: delete them first", param="organization_ids")
        before = {one.id: view(one.row, admin.now()) for one in found}
        target = ids[0] if len(ids) == 1 else ""
        changes = [one.change(None) for one in found]
        await admin.write(caller, "organization.delete", target, changes, msgspec.to_builtins(before))

    await admin.again(write)
    json_reply(exchange, {"deleted_organizations": ids})


async def show_organization(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /organization/info?organization_id=``: it and its teams."""
    admin = await admin_of(serving)
    row_id = Query(exchange).need("organization_id")
    found = await admin.need(Organization, row_id, "Organization")
    teams = [view(one.row, admin.now(), team_id=one.id) for one in await admin.find(Team, {"organization_id": row_id})]
    standing = await admin.standing("organization", row_id, found.row)
    json_reply(exchange, view(found.row, admin.now(), organization_id=row_id, teams=teams, **standing))


async def list_organizations(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /organization/list``."""
    admin = await admin_of(serving)
    told = []
    for one in await admin.find(Organization, {}, limit=1000):
        standing = await admin.standing("organization", one.id, one.row)
        told.append(view(one.row, admin.now(), organization_id=one.id, **standing))
    json_reply(exchange, told)


# -- rows -------------------------------------------------------------------------------------------------------------


def _told(row_id: str, team: Team, admin: Admin, standing: Mapping[str, Any]) -> dict[str, Any]:
    return view(team, admin.now(), team_id=row_id, **standing)


async def _seen(admin: Admin, caller: Caller, row_id: str) -> Held[Team]:
    # Whoever may not see it is not told that it is there.
    if not (sees_all(caller) or caller.team_id == row_id):
        raise ResourceNotFound(f"{WHAT} not found")
    return await admin.need(Team, row_id, WHAT)


async def _owned(admin: Admin, caller: Caller, row_id: str) -> Held[Team]:
    found = await _seen(admin, caller, row_id)
    if not is_admin(caller) and caller.role != "team_admin":
        raise Forbidden("Only an admin of the team may do that")
    return found


async def _unless_there(admin: Admin, kind: type[Team | Organization], row_id: str, param: str) -> None:
    if await admin.get(kind, row_id) is not None:
        raise InvalidRequest(f"That {param} is taken: choose another one", param=param)


async def _check_references(admin: Admin, team: Team) -> None:
    if team.organization_id is not None and await admin.get(Organization, team.organization_id) is None:
        raise InvalidRequest("There is no such organization", param="organization_id")
    await _check_budget(admin, team.budget_id)


async def _check_budget(admin: Admin, row_id: str | None) -> None:
    if row_id is not None and await admin.get(BudgetRow, row_id) is None:
        raise InvalidRequest("There is no such budget", param="budget_id")


async def _joined(admin: Admin, caller: Caller, row_id: str, members: Sequence[Member]) -> list[Change]:
    """Users who belong to a team now; one that there is not is made, if the caller may."""
    changes = []
    for name in dict.fromkeys(one.user_id for one in members):
        found = await admin.get(User, name)
        if found is None:
            if not is_admin(caller):
                raise InvalidRequest("There is no such user: an admin has to make it first", param="member")
            user = User(teams=(row_id,), **admin.made(caller))
            changes.append(Held(name, user, 0).change(user))
        elif row_id not in found.row.teams:
            changes.append(found.change(changed(found.row, {"teams": (*found.row.teams, row_id)})))
    return changes


async def _left(admin: Admin, caller: Caller, ids: Sequence[str], names: Sequence[str]) -> list[Change]:
    """Users who do not belong to teams any more."""
    changes = []
    for name in dict.fromkeys(names):
        found = await admin.get(User, name)
        if found is not None:
            teams = tuple(one for one in found.row.teams if one not in ids)
            changes.append(found.change(changed(found.row, {"teams": teams}, **admin.changed(caller))))
    return changes


async def _set_blocked(serving: Serving, exchange: Exchange, *, is_blocked: bool) -> None:
    admin, caller = await admin_of(serving), exchange.caller
    row_id = (await NAMED.read(exchange))["team_id"]

    async def write() -> Team:
        before = await admin.need(Team, row_id, WHAT)
        after = msgspec.structs.replace(before.row, blocked=is_blocked, **admin.changed(caller))
        what = "team.block" if is_blocked else "team.unblock"
        await admin.write(caller, what, row_id, [before.change(after)], before.row, after)
        return after

    team = await admin.again(write)
    json_reply(exchange, _told(row_id, team, admin, await admin.standing("team", row_id, team)))
