"""Who may do what: every kind of route by every role, as one table. What it does not name is refused.

A route has an :class:`Access`, which is decided on the route that was matched, never on the text of a path. It says
which roles may come in; which rows they then see and change, and what they may grant, is for :func:`sees`,
:func:`owns` and :func:`may_grant`. ``allowed_routes`` of a key only take away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

import msgspec

from pointsman.access.caller import Caller, Role
from pointsman.access.keys import FILLED, Key, Team, UserRole, covers

ROLES: tuple[Role, ...] = ("master", "admin", "team_admin", "key", "read_only", "none")
ALL: frozenset[Role] = frozenset(ROLES)
KNOWN: frozenset[Role] = ALL - {"none"}
ADMINS: frozenset[Role] = frozenset({"master", "admin"})
WATCHERS: frozenset[Role] = ADMINS | {"read_only"}
MAKERS: frozenset[Role] = ADMINS | {"team_admin", "key"}
TEAMS: frozenset[Role] = ADMINS | {"team_admin"}
GRANTS: Mapping[str, frozenset[str]] = {
    "master": frozenset(KNOWN),
    "admin": frozenset(KNOWN - {"master"}),
    "team_admin": frozenset({"key"}),
    "key": frozenset({"key"}),
}
"""Which role the user of a key may have, by the role of whoever makes or changes that key."""


class Access(Enum):
    """What a route is, by who may call it."""

    PUBLIC = "anybody"
    METRICS = "tells about everything, and to anybody at all where the operator has said so"
    MODELS = "calls a model"
    MCP = "speaks to MCP servers"
    A2A = "speaks to agents, and to those that are public without a key"
    FILES = "keeps files and batches, those of the caller's user or key"
    CARD = "tells of one agent, and of a public one to anybody"
    LIST = "tells what can be called"
    OWN = "tells what is the caller's own, or all to whoever may see all"
    KEYS = "makes and changes keys, none of which can do more than the caller's"
    TEAM = "changes who belongs to a team"
    READ = "tells about everything"
    ADMIN = "changes everything"
    MASTER = "belongs to the operator"


POLICY: Mapping[Access, frozenset[Role]] = {
    Access.PUBLIC: ALL,
    Access.METRICS: WATCHERS,
    Access.MODELS: MAKERS,
    Access.MCP: MAKERS,
    Access.A2A: MAKERS,
    Access.FILES: MAKERS,
    Access.CARD: KNOWN,
    Access.LIST: KNOWN,
    Access.OWN: KNOWN,
    Access.KEYS: MAKERS,
    Access.TEAM: TEAMS,
    Access.READ: WATCHERS,
    Access.ADMIN: ADMINS,
    Access.MASTER: frozenset({"master"}),
}
ROUTE_GROUPS: Mapping[str, frozenset[Access]] = {
    "llm_api_routes": frozenset({Access.MODELS, Access.FILES, Access.MCP, Access.A2A, Access.CARD, Access.LIST}),
    "openai_routes": frozenset({Access.MODELS, Access.FILES, Access.LIST}),
    "mcp_routes": frozenset({Access.MCP}),
    "agent_routes": frozenset({Access.A2A, Access.CARD}),
    "info_routes": frozenset({Access.LIST, Access.CARD, Access.OWN, Access.READ}),
    "management_routes": frozenset({Access.OWN, Access.KEYS, Access.TEAM, Access.READ, Access.ADMIN}),
    "key_management_routes": frozenset({Access.OWN, Access.KEYS}),
}
"""What stands for many routes in ``allowed_routes``, as LiteLLM names them."""
KEY_TYPES: Mapping[str, tuple[str, ...]] = {
    "default": (),
    "llm_api": ("llm_api_routes",),
    "management": ("management_routes",),
    "read_only": ("info_routes",),
}
"""``key_type`` is another way to say ``allowed_routes``."""
AGENT_ROUTES = ("/a2a/agents/{agent_id}", "/a2a/{agent_id}")
"""Where agents are spoken to."""
ADMIN_FIELDS = frozenset({"key", "budget_id", "organization_id", "soft_budget", "blocked"})
"""Members of a key's body that only an admin may set."""
LABELS = frozenset({"key_alias", "tags", "metadata"})
"""What the spend of a key is told by."""


class Refused(msgspec.Struct, frozen=True):
    """Why something may not be done."""

    reason: str
    param: str | None = None


def groups_of(access: Access) -> frozenset[str]:
    """The names under which routes of that kind stand in ``allowed_routes``."""
    return frozenset(name for name, kinds in ROUTE_GROUPS.items() if access in kinds)


def is_route_allowed(allowed: Iterable[str], path: str, groups: frozenset[str]) -> bool:
    """Whether ``allowed_routes`` let a key call the route that was matched; ``/spend/*`` stands for what begins so."""
    return any(one in groups or one == path or (one.endswith("/*") and path.startswith(one[:-1])) for one in allowed)


def has_same_rights(now: Caller, before: Caller) -> bool:
    """Whether a key may the same as it might."""
    routes = [None if one.key is None else one.key.allowed_routes for one in (now, before)]
    return (now.name, now.role, now.grants) == (before.name, before.role, before.grants) and routes[0] == routes[1]


def may_call(caller: Caller, access: Access, path: str) -> bool:
    """Whether the caller's role, and what his key was made for, let him call a route."""
    allowed = () if caller.key is None else caller.key.allowed_routes
    return caller.role in POLICY[access] and (not allowed or is_route_allowed(allowed, path, groups_of(access)))


def may_speak(caller: Caller) -> bool:
    """Whether what the caller's key was made for lets him speak to agents, at whatever address he asks for one."""
    return any(may_call(caller, Access.A2A, path) for path in AGENT_ROUTES)


def unknown_route(allowed: Iterable[str]) -> str | None:
    """What is neither a path nor the name of a group; ``None``: there is nothing of the kind."""
    for one in allowed:
        if one not in ROUTE_GROUPS and (not one.startswith("/") or "*" in one.removesuffix("/*")):
            return one
    return None


# -- rows -----------------------------------------------------------------------------------------------------------


def is_admin(caller: Caller) -> bool:
    """Whether everything is the caller's to change."""
    return caller.role in ADMINS


def sees_all(caller: Caller) -> bool:
    """Whether everything is the caller's to see."""
    return caller.role in WATCHERS


def sees(caller: Caller, row_id: str, key: Key) -> bool:
    """Whether a caller is told about a key."""
    return sees_all(caller) or row_id == caller.id or owns(caller, key)


def acts_for(caller: Caller) -> str | None:
    """The user whose rows are the caller's; ``None``: his key is for calling models, and he has its own row only."""
    return None if caller.key is None or caller.key.is_plain else caller.key.user_id


def owns(caller: Caller, key: Key) -> bool:
    """Whether a key is of the caller's user, or of the team that he administers."""
    if is_admin(caller):
        return True
    if caller.role == "team_admin" and key.team_id == caller.team_id:
        return True
    user_id = acts_for(caller)
    return user_id is not None and key.user_id == user_id


# -- what may be granted --------------------------------------------------------------------------------------------


def may_set(caller: Caller, given: Iterable[str]) -> Refused | None:
    """Whether a caller may say anything about these members of a key."""
    if is_admin(caller):
        return None
    for name in given:
        if name in ADMIN_FIELDS:
            return Refused(f"Only an admin may set {name!r}", name)
    return None


def may_label(caller: Caller, key: Key, given: Iterable[str]) -> Refused | None:
    """Whether a caller may change these members of ``key``, which say what its spend is booked as.

    A key that nobody but its user has made is his to name.
    """
    if caller.role != "key" or key.parent is not None:
        return None
    name = next((name for name in given if name in LABELS), None)
    return None if name is None else Refused(f"A key cannot change its own {name!r}", name)


def may_raise(caller: Caller, role: UserRole) -> Refused | None:
    """Whether a caller may give a user this role, with which all keys of that user are more than they were."""
    mine = caller.key
    if mine is None or role == "internal_user" or not (mine.allowed_routes or mine.expires):
        return None
    return Refused("A key that ends, or is for some paths, makes nobody an admin", "user_role")


def passes_on(maker: Caller) -> bool:
    """Whether what a key makes is within its limits and ends with it.

    An admin of a team makes keys that are the team's, unless his own key has limits, which more keys would multiply.
    """
    key = maker.key
    if maker.role != "team_admin" or key is None or not maker.id:
        return maker.role == "key"
    # 0 is a limit too.
    return key.budget_id is not None or any(getattr(key, name) not in (None, (), {}) for name in FILLED)


def may_make_for(creator: Caller, wanted: Key, team: Team | None) -> Refused | None:
    """Whether ``creator`` may make a key for that user: an admin of a team does so for its members."""
    if creator.role != "team_admin" or wanted.user_id in {None, creator.user_id}:
        return None
    if team is not None and any(one.user_id == wanted.user_id for one in team.members_with_roles):
        return None
    return Refused("An admin of a team makes keys for its members only", "user_id")


def may_grant(creator: Caller, wanted: Key, role: Role = "key", *, is_own: bool = False) -> Refused | None:
    """Whether a key may come from ``creator``: field by field it must not exceed what the creator's own key has.

    ``role`` is that of the user whose key it will be, and ``is_own`` says whether he is the creator's.
    """
    if creator.role == "master":
        return None
    mine = creator.key
    is_mine = is_own and role == creator.role
    if mine is None or not (is_mine or role in GRANTS.get(creator.role, frozenset())):
        return Refused("A key cannot make one for a user with such a role", "user_id")
    refused = _exceeds_routes(mine, wanted)
    if refused is None and is_admin(creator):
        return _outlasts(mine, wanted, role)
    return refused or _is_foreign(creator, mine, wanted) or _exceeds_terms(creator, mine, wanted)


def _outlasts(mine: Key, wanted: Key, role: Role) -> Refused | None:
    if role in WATCHERS and _is_more(wanted.expires, mine.expires):
        return Refused("The key of an admin ends with the key that makes it: give a 'duration'", "expires")
    return None


def _exceeds_routes(mine: Key, wanted: Key) -> Refused | None:
    if mine.allowed_routes:
        more = [one for one in wanted.allowed_routes if not _is_within(one, mine.allowed_routes)]
        if more or not wanted.allowed_routes:
            return Refused("A key cannot grant routes that it may not call itself", "allowed_routes")
    return None


def _is_within(route: str, allowed: Iterable[str]) -> bool:
    kinds = ROUTE_GROUPS.get(route)
    if kinds is not None:
        return any(one == route or kinds <= ROUTE_GROUPS.get(one, frozenset()) for one in allowed)
    return any(route == one or (one.endswith("/*") and route.startswith(one[:-1])) for one in allowed)


def _is_foreign(creator: Caller, mine: Key, wanted: Key) -> Refused | None:
    if creator.role == "key" and not creator.id:
        return Refused("A token cannot make keys, unless it is an admin's")
    if mine.parent is not None:
        return Refused("A key that was made by a key cannot make others")
    if not owns(creator, wanted):
        return Refused("A key can only make keys of its own user or team", "user_id")
    if wanted.team_id != mine.team_id:
        return Refused("A key can only make keys of its own team", "team_id")
    if wanted.organization_id != mine.organization_id:
        return Refused("A key can only make keys of its own organization", "organization_id")
    return None


def _exceeds_terms(creator: Caller, mine: Key, wanted: Key) -> Refused | None:
    name = next(_wider(mine, wanted), None)
    if name is None and not creator.grants.covers(wanted.object_permission, mine.object_permission):
        name = "object_permission"
    if name is None and creator.role == "key" and wanted.parent is not None and not set(mine.tags) <= set(wanted.tags):
        return Refused("A key's tags are those of all keys that it makes", "tags")
    return None if name is None else Refused(f"A key cannot grant more than it has: {name!r}", name)


def _wider(mine: Key, wanted: Key) -> Iterator[str]:
    """Members that ask for more than there is."""
    for name in ("max_budget", "rpm_limit", "tpm_limit", "tpd_limit", "max_parallel_requests", "expires"):
        if _is_more(getattr(wanted, name), getattr(mine, name)):
            yield name
    if mine.max_budget is not None and wanted.budget_duration not in {None, mine.budget_duration}:
        # The same money, renewed more often, is more.
        yield "budget_duration"
    for name in ("model_rpm_limit", "model_tpm_limit"):
        given = getattr(wanted, name)
        if any(_is_more(given.get(model), most) for model, most in getattr(mine, name).items()):
            yield name
    for model, budget in mine.model_max_budget.items():
        asked = wanted.model_max_budget.get(model)
        if asked is None or _is_more(asked.most, budget.most) or asked.period not in {None, budget.period}:
            yield "model_max_budget"
    if not set(mine.budget_limits) <= set(wanted.budget_limits):
        yield "budget_limits"
    if not covers(mine.models, wanted.models):
        yield "models"


def _is_more(wanted: Any, mine: Any) -> bool:
    """Whether a limit is wider than another one; ``None`` is none at all."""
    return mine is not None and (wanted is None or wanted > mine)
