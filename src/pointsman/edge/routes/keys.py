"""Virtual keys: made, shown, changed, blocked, replaced, deleted. A key itself stands in one reply and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from pointsman.access.budgets import seconds_of
from pointsman.access.caller import Caller, Family, role_of
from pointsman.access.keys import MAX_REPLACED, MIN_KEY, BudgetRow, Key, Name, Organization, Team, User, filled, shown
from pointsman.access.policy import (
    KEY_TYPES,
    acts_for,
    is_admin,
    may_grant,
    may_label,
    may_make_for,
    may_set,
    owns,
    passes_on,
    sees,
    sees_all,
    unknown_route,
)
from pointsman.edge.admin import Admin, Body, Held, Query, admin_of, allow, asks, changed, new, seconds, view
from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import json_reply
from pointsman.errors import Forbidden, InvalidRequest, ResourceNotFound
from pointsman.store.base import Change

WHAT = "Key"
MAX_DELETED = 1000
NOTHING: Mapping[str, Any] = {}
NEVER = "-1"
"""A duration of a key that does not expire."""
INHERITED = (
    "models",
    "max_budget",
    "budget_duration",
    "budget_limits",
    "model_max_budget",
    "rpm_limit",
    "tpm_limit",
    "tpd_limit",
    "max_parallel_requests",
    "model_rpm_limit",
    "model_tpm_limit",
    "expires",
    "allowed_routes",
    "user_id",
    "team_id",
    "organization_id",
    "tags",
    "object_permission",
)
"""What a key has of the one that makes it, where nothing else is said."""
OF_KEY = asks(Key, "key_name", "expires", duration=str, key=str, key_type=str)
GENERATE = Body(OF_KEY, Key)
UPDATE = Body(OF_KEY, Key, needs=("key",))
REGENERATE = Body(
    asks(Key, "key_name", "expires", duration=str, key=str, key_type=str, new_key=str, grace_period=str), Key
)
NAMED = Body(msgspec.defstruct("KeyNamed", [("key", str | None, None)], frozen=True), needs=("key",))
Texts = tuple[Name, ...]
DELETE = Body(
    msgspec.defstruct(
        "KeysNamed", [("keys", tuple[str, ...] | None, None), ("key_aliases", Texts | None, None)], frozen=True
    )
)
RESET = Body(msgspec.defstruct("Reset", [("reset_to", float | None, None)], frozen=True))


async def generate(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /key/generate``."""
    admin, caller = await admin_of(serving), exchange.caller
    given = await GENERATE.read(exchange)
    allow(may_set(caller, (name for name, value in given.items() if value not in (None, False))))
    made = given.get("key") or admin.make_key()
    _check_made(serving, made)
    row_id = admin.pepper.digest(made.encode()).hex()
    wanted = _inherited(caller, given)
    _translate(wanted, admin.stamp())
    key = new(Key, wanted, key_name=shown(made), account=row_id, parent=_parent(caller), **admin.made(caller))
    key = await _granted(admin, caller, key, given)
    await _is_new(admin, made)

    async def write() -> None:
        await admin.write(caller, "key.generate", row_id, [admin_change(row_id, key, 0)], None, key)

    await admin.again(write)
    json_reply(exchange, told(row_id, key, admin.now(), key=made, spend=0.0))


async def info(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /key/info?key=``: a key, by itself or its hash; without one, the key that asks."""
    admin, caller = await admin_of(serving), exchange.caller
    asked = Query(exchange).text("key") or caller.id
    if not asked:
        raise InvalidRequest("Name it: ?key=", param="key")
    found = await _seen(admin, caller, asked)
    standing = await admin.standing("key", found.row.account, found.row)
    json_reply(exchange, {"key": found.id, "info": told(found.id, found.row, admin.now(), **standing)})


async def update(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /key/update``: what is named is changed, all else stays."""
    admin, caller = await admin_of(serving), exchange.caller
    given = await UPDATE.read(exchange)
    asked = given.pop("key")
    allow(may_set(caller, given))
    _translate(given, admin.stamp())

    async def write() -> Held[Key]:
        before = await _owned(admin, caller, asked)
        allow(may_label(caller, before.row, given))
        after = changed(before.row, given, **admin.changed(caller))
        after = await _granted(admin, caller, after, given)
        changes = [before.change(after)]
        if after.blocked and not before.row.blocked:
            changes += [_blocked(admin, caller, one) for one in await _replaced(admin, before.row)]
        await admin.write(caller, "key.update", before.id, changes, before.row, after)
        return Held(before.id, after, before.version + 1)

    found = await admin.again(write)
    standing = await admin.standing("key", found.row.account, found.row)
    json_reply(exchange, {"key": found.id} | told(found.id, found.row, admin.now(), **standing))


async def delete(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /key/delete``: by keys, their hashes, or aliases; all or none."""
    admin, caller = await admin_of(serving), exchange.caller
    given = await DELETE.read(exchange)
    names, aliases = given.get("keys", ()), given.get("key_aliases", ())
    if not 0 < len(names) + len(aliases) <= MAX_DELETED:
        raise InvalidRequest(f"Name 1 to {MAX_DELETED} 'keys' or 'key_aliases'", param="keys")

    async def write() -> list[str]:
        found = [await _owned(admin, caller, name, to_stop=True) for name in names]
        found += [await _owned(admin, caller, await _id_of_alias(admin, alias), to_stop=True) for alias in aliases]
        named = {one.id for one in found}
        found += [old for one in found for old in await _replaced(admin, one.row)]
        once = {one.id: one for one in found}
        before = {row_id: view(one.row, admin.now()) for row_id, one in once.items()}
        target = found[0].id if len(named) == 1 else ""
        changes = [one.change(None) for one in once.values()]
        await admin.write(caller, "key.delete", target, changes, msgspec.to_builtins(before))
        return list(once)

    # Hashes, whatever they were named by: a key is not said again.
    json_reply(exchange, {"deleted_keys": await admin.again(write)})


async def block(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /key/block``: it is refused from now on."""
    await _set_blocked(serving, exchange, is_blocked=True)


async def unblock(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /key/unblock``: it is let in again."""
    await _set_blocked(serving, exchange, is_blocked=False)


async def regenerate(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``POST /key/{key}/regenerate``: another key in its place, with the same terms, spend and name.

    The old one ends at once, or after ``grace_period``, or when the new one is blocked or deleted.
    """
    admin, caller = await admin_of(serving), exchange.caller
    given = await REGENERATE.read(exchange)
    asked = params.get("key") or given.get("key")
    given.pop("key", None)
    if not asked:
        raise InvalidRequest("Name it: 'key'", param="key")
    made, grace = given.pop("new_key", None), given.pop("grace_period", None)
    allow(may_set(caller, given if made is None else {**given, "key": made}))
    made = made or admin.make_key()
    _check_made(serving, made)
    _translate(given, admin.stamp())
    until = None if grace is None else admin.stamp() + timedelta(seconds=_seconds(grace, "grace_period"))
    row_id = admin.pepper.digest(made.encode()).hex()
    await _is_new(admin, made)

    async def write() -> Key:
        before = await _owned(admin, caller, asked)
        allow(may_label(caller, before.row, given))
        stamp, old = admin.changed(caller), None
        goes_on = tuple(one.id for one in await _replaced(admin, before.row))
        if until is not None:
            ends = until if before.row.expires is None else min(until, before.row.expires)
            old = msgspec.structs.replace(before.row, key_alias=None, expires=ends, replaces=(), **stamp)
            goes_on += (before.id,)
        if len(goes_on) > MAX_REPLACED:
            raise InvalidRequest("Too many keys before this one go on still: delete them first", param="grace_period")
        after = changed(before.row, given, key_name=shown(made), replaces=goes_on, form="hmac", **stamp)
        after = await _granted(admin, caller, after, given)
        changes = [before.change(old), admin_change(row_id, after, 0), *await _adopted(admin, before.id, row_id)]
        await admin.write(
            caller, "key.regenerate", before.id, changes, before.row, {"id": row_id, **msgspec.to_builtins(after)}
        )
        return after

    key = await admin.again(write)
    standing = await admin.standing("key", key.account, key)
    json_reply(exchange, told(row_id, key, admin.now(), key=made, **standing))


async def reset_spend(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``POST /key/{key}/reset_spend``: nothing that was spent before counts for its budgets."""
    admin, caller = await admin_of(serving), exchange.caller
    given = await RESET.read(exchange)
    if given.get("reset_to"):
        raise InvalidRequest("Spend can be reset to 0 only: the ledger tells what was spent", param="reset_to")

    async def write() -> Held[Key]:
        before = await _owned(admin, caller, params["key"])
        after = msgspec.structs.replace(
            before.row, spent_from=datetime.fromtimestamp(admin.now(), UTC), **admin.changed(caller)
        )
        await admin.write(caller, "key.reset_spend", before.id, [before.change(after)], before.row, after)
        return Held(before.id, after, before.version + 1)

    found = await admin.again(write)
    json_reply(exchange, told(found.id, found.row, admin.now(), spend=0.0))


async def list_keys(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /key/list``: hashes, or rows with ``return_full_object=true``."""
    admin, caller, query = await admin_of(serving), exchange.caller, Query(exchange)
    page = query.page()
    found, total = await _listed(admin, caller, query)
    told_ones: list[Any] = [one.id for one in found]
    if query.flag("return_full_object"):
        told_ones = []
        for one in found:
            standing = await admin.standing("key", one.row.account, one.row)
            told_ones.append(told(one.id, one.row, admin.now(), **standing))
    pages = -(-total // page.size)
    json_reply(exchange, {"keys": told_ones, "total_count": total, "current_page": page.number, "total_pages": pages})


async def aliases(serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``GET /key/aliases``."""
    admin, caller, query = await admin_of(serving), exchange.caller, Query(exchange)
    found, total = await _listed(admin, caller, query)
    names = [one.row.key_alias for one in found if one.row.key_alias is not None]
    page = query.page()
    pages = -(-total // page.size)
    json_reply(exchange, {"aliases": names, "total_count": total, "current_page": page.number, "total_pages": pages})


async def health(_serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    """``POST /key/health``: whoever is answered has a key that is valid."""
    json_reply(exchange, {"key": "healthy", "logging_callbacks": None})


def told(row_id: str, row: Key, now: float, **more: Any) -> dict[str, Any]:
    """A row as LiteLLM's clients read it."""
    return view(row, now, token=row_id, token_id=row_id, **more)


def admin_change(row_id: str, key: Key, version: int) -> Change:
    """The row of a key, written for the first time."""
    return Held(row_id, key, version).change(key)


# -- which keys -------------------------------------------------------------------------------------------------------


async def _get(admin: Admin, asked: str) -> Held[Key] | None:
    """By the key itself or its hash."""
    if asked.startswith("sk-"):
        for row_id, form in admin.pepper.ids(asked.encode()):
            found = await admin.get(Key, row_id)
            if found is not None and found.row.form == form:
                return found
        return None
    return await admin.get(Key, asked[:200])


async def _seen(admin: Admin, caller: Caller, asked: str) -> Held[Key]:
    found = await _get(admin, asked)
    # Whoever may not see it is not told that it is there.
    if found is None or not sees(caller, found.id, found.row):
        raise ResourceNotFound(f"{WHAT} not found")
    return found


async def _owned(admin: Admin, caller: Caller, asked: str, *, to_stop: bool = False) -> Held[Key]:
    """A key that the caller may change: one that he could have made. An admin of a team stops wider ones too."""
    found = await _seen(admin, caller, asked)
    if not owns(caller, found.row):
        raise Forbidden("This key belongs to somebody else", param="key")
    if not (is_admin(caller) or (to_stop and caller.role == "team_admin")):
        await _checked(admin, caller, found.row)
    return found


async def _id_of_alias(admin: Admin, alias: str) -> str:
    found = await admin.find(Key, {"key_alias": alias}, limit=1)
    if not found:
        raise ResourceNotFound(f"{WHAT} not found")
    return found[0].id


async def _listed(admin: Admin, caller: Caller, query: Query) -> tuple[list[Held[Key]], int]:
    where: dict[str, str] = {}
    for name in ("user_id", "team_id", "organization_id", "key_alias"):
        given = query.text(name)
        if given is not None:
            where[name] = given
    one_id = query.text("key_hash")
    mine = _mine(caller)
    if one_id is not None or (mine is None and not sees_all(caller)):
        found = await _get(admin, caller.id if one_id is None else one_id)
        if found is None or not sees(caller, found.id, found.row):
            return [], 0
        return [found], 1
    if mine is not None:
        if any(where.get(name, value) != value for name, value in mine.items()):
            return [], 0
        where |= mine
    return await admin.page(Key, where, query.page())


def _mine(caller: Caller) -> dict[str, str] | None:
    """Columns of the rows that are the caller's; ``None``: there is only his own, or no bound at all."""
    if sees_all(caller):
        return None
    if caller.role == "team_admin" and caller.team_id is not None:
        return {"team_id": caller.team_id}
    user_id = acts_for(caller)
    return None if user_id is None else {"user_id": user_id}


async def _replaced(admin: Admin, key: Key) -> list[Held[Key]]:
    """The keys whose place it has taken and that go on still."""
    found = [await admin.get(Key, row_id) for row_id in key.replaces]
    now = admin.stamp()
    return [one for one in found if one is not None and (one.row.expires is None or one.row.expires > now)]


def _blocked(admin: Admin, caller: Caller, key: Held[Key]) -> Change:
    return key.change(msgspec.structs.replace(key.row, blocked=True, **admin.changed(caller)))


async def _adopted(admin: Admin, old: str, new_id: str) -> list[Change]:
    """The keys that a key has made follow it when another takes its place."""
    children = await admin.find(Key, {"parent": old})
    return [one.change(msgspec.structs.replace(one.row, parent=new_id)) for one in children]


# -- what they may be -------------------------------------------------------------------------------------------------


def _inherited(caller: Caller, given: Mapping[str, Any]) -> dict[str, Any]:
    wanted = dict(given)
    mine = caller.key
    if mine is not None:
        names: tuple[str, ...] = ("allowed_routes",) if is_admin(caller) else INHERITED
        said = {"expires"} if "duration" in given else set()
        if "key_type" in given:
            said.add("allowed_routes")
        for name in names:
            if name not in said:
                wanted.setdefault(name, getattr(mine, name))
    return wanted


def _parent(caller: Caller) -> str | None:
    return caller.id if passes_on(caller) else None


def _translate(given: dict[str, Any], now: datetime) -> None:
    """Say what LiteLLM has other words for."""
    given.pop("key", None)
    duration, kind = given.pop("duration", None), given.pop("key_type", None)
    if duration is not None:
        given["expires"] = None if duration == NEVER else now + timedelta(seconds=_seconds(duration, "duration"))
    if kind is not None:
        if kind not in KEY_TYPES:
            raise InvalidRequest(f"'key_type' must be one of {', '.join(KEY_TYPES)}", param="key_type")
        given.setdefault("allowed_routes", KEY_TYPES[kind])
    strange = unknown_route(given.get("allowed_routes", ()))
    if strange is not None:
        raise InvalidRequest(f"{strange[:100]!r} is neither a path nor a group of routes", param="allowed_routes")


def _seconds(duration: str, param: str) -> int:
    try:
        return seconds_of(duration)
    except ValueError as error:
        raise InvalidRequest(str(error), param=param) from None


def _check_made(serving: Serving, made: str) -> None:
    if not (made.startswith("sk-") and len(made) >= MIN_KEY and made.isascii() and made.isprintable()):
        raise InvalidRequest(f"A key begins with sk- and has {MIN_KEY} characters or more", param="key")
    if serving.gatekeeper.is_master(made):
        raise InvalidRequest("That key is taken: choose another one", param="key")


async def _is_new(admin: Admin, made: str) -> None:
    if await _get(admin, made) is not None:
        raise InvalidRequest("That key is taken: choose another one", param="key")


async def _granted(admin: Admin, caller: Caller, key: Key, given: Mapping[str, Any]) -> Key:
    """As :func:`_checked`, where the key is made or changed, and not only stopped.

    :raises Forbidden: the caller makes none for that user
    """
    if caller.role == "team_admin":
        team = None if key.team_id is None else await admin.get(Team, key.team_id)
        allow(may_make_for(caller, key, None if team is None else team.row))
    return await _checked(admin, caller, key, given)


async def _checked(admin: Admin, caller: Caller, key: Key, given: Mapping[str, Any] = NOTHING) -> Key:
    """A key that may be as it is, its organization being that of its team.

    :raises Forbidden: the caller may not make such a key
    :raises InvalidRequest: it refers to what is not there
    """
    team = None if key.team_id is None else await _referred(admin, Team, key.team_id, "team_id")
    if team is not None and team.organization_id is not None:
        if given.get("organization_id", team.organization_id) not in {None, team.organization_id}:
            raise InvalidRequest("The team belongs to another organization", param="organization_id")
        key = msgspec.structs.replace(key, organization_id=team.organization_id)
    if key.organization_id is not None:
        await _referred(admin, Organization, key.organization_id, "organization_id")
    budget = None if key.budget_id is None else await _referred(admin, BudgetRow, key.budget_id, "budget_id")
    user = None if key.user_id is None else await admin.get(User, key.user_id)
    role = role_of(Family(id="", key=key, user=None if user is None else user.row, team=team))
    is_own = key.user_id == caller.user_id
    allow(may_grant(caller, filled(key, budget), role, is_own=is_own))
    return key if is_own or is_admin(caller) else msgspec.structs.replace(key, is_plain=True)


async def _referred(admin: Admin, kind: Any, row_id: str, param: str) -> Any:
    found = await admin.get(kind, row_id)
    if found is None:
        raise InvalidRequest(f"There is no such {param.removesuffix('_id')}", param=param)
    return found.row


async def _set_blocked(serving: Serving, exchange: Exchange, *, is_blocked: bool) -> None:
    admin, caller = await admin_of(serving), exchange.caller
    asked = (await NAMED.read(exchange))["key"]
    if not is_blocked:
        allow(may_set(caller, ("blocked",)))

    async def write() -> Held[Key]:
        before = await _owned(admin, caller, asked, to_stop=is_blocked)
        after = msgspec.structs.replace(before.row, blocked=is_blocked, **admin.changed(caller))
        what = "key.block" if is_blocked else "key.unblock"
        old = await _replaced(admin, before.row) if is_blocked else []
        changes = [before.change(after), *(_blocked(admin, caller, one) for one in old)]
        await admin.write(caller, what, before.id, changes, before.row, after)
        return Held(before.id, after, before.version + 1)

    found = await admin.again(write)
    standing = await admin.standing("key", found.row.account, found.row)
    json_reply(exchange, told(found.id, found.row, admin.now(), **standing))


async def spend(serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    """``GET /key/{key}/spend``: what counts for its budget now, and by model since ``start_date``."""
    admin, caller, query = await admin_of(serving), exchange.caller, Query(exchange)
    found = await _seen(admin, caller, params["key"])
    key = found.row
    standing = await admin.standing("key", key.account, key)
    start = seconds(query.day("start_date", key.created_at or admin.stamp()))
    models = await admin.spend_of({"key_id": key.account}, ("model",), start, admin.now() + 1)
    json_reply(
        exchange,
        {
            "key": found.id,
            "key_alias": key.key_alias,
            **standing,
            "max_budget": key.max_budget,
            "budget_duration": key.budget_duration,
            "models": models,
        },
    )
