"""From request headers to the authenticated party, and what that party may do."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import msgspec

from pointsman.access.budgets import Budget, Kind
from pointsman.access.grants import NO_GRANTS, Grants, grants_of
from pointsman.access.keys import BudgetRow, Key, ModelSet, Organization, Team, Terms, User, filled, models_of
from pointsman.access.limits import Limit, name_of
from pointsman.access.settings import AccessSettings
from pointsman.errors import Forbidden, ModelNotFound, Unauthenticated

BEARER = b"bearer "
KEY_HEADERS = (
    b"authorization",
    b"x-api-key",
    b"api-key",
    b"x-litellm-api-key",
    b"x-goog-api-key",
    b"ocp-apim-subscription-key",
)
"""Where clients put the key: OpenAI SDKs, Anthropic SDK, Azure clients, LiteLLM clients, Google's, Azure gateways."""
MASTER_ID = "master"
"""What the master key's spend is booked under."""
PUBLIC_ID = "public"
"""The same for those without a key."""
CHALLENGE = (("www-authenticate", "Bearer"),)
MINUTE = 60.0
DAY = 86_400.0

Role = Literal["master", "admin", "read_only", "team_admin", "key", "none"]
ROLE_OF_USER: Mapping[str, Role] = {"proxy_admin": "admin", "proxy_admin_viewer": "read_only"}


class Limits(msgspec.Struct, frozen=True, gc=False):
    """What is counted of each request, by what is counted."""

    requests: tuple[Limit, ...] = ()
    tokens: tuple[Limit, ...] = ()
    slots: tuple[Limit, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.requests or self.tokens or self.slots)

    def __add__(self, other: Limits) -> Limits:
        return Limits(self.requests + other.requests, self.tokens + other.tokens, self.slots + other.slots)


NO_LIMITS = Limits()


class Caller(msgspec.Struct, frozen=True, gc=False):
    """The authenticated party of a request."""

    name: str
    """One for each key, and the same when it takes another one's place: answers are kept under it."""
    is_master: bool = False
    role: Role = "none"
    id: str = ""
    """Of the row of the key."""
    key: Key | None = None
    """With the terms of the budget that it refers to; ``None`` for the master and for nobody."""
    models: tuple[ModelSet, ...] = ()
    """Each of them has to allow a model; none: all are allowed."""
    limits: Limits = NO_LIMITS
    model_limits: Mapping[str, Limits] = {}
    budgets: tuple[Budget, ...] = ()
    model_budgets: Mapping[str, tuple[Budget, ...]] = {}
    expires: float | None = None
    """In seconds since the epoch."""
    grants: Grants = NO_GRANTS
    """Which MCP servers and tools it may use."""

    @property
    def user_id(self) -> str | None:
        """The user whose key it is."""
        return None if self.key is None else self.key.user_id

    @property
    def team_id(self) -> str | None:
        """The team."""
        return None if self.key is None else self.key.team_id

    @property
    def organization_id(self) -> str | None:
        """The organization."""
        return None if self.key is None else self.key.organization_id

    @property
    def account(self) -> str:
        """What its spend is booked under."""
        if self.key is not None:
            return self.key.account
        return MASTER_ID if self.name else PUBLIC_ID

    def alias(self, model: str) -> str:
        """What the key calls a model, as everybody calls it."""
        return model if self.key is None else self.key.aliases.get(model, model)

    def may_use(self, model: str, *others: str) -> bool:
        """Whether it may call a model, which ``others``, its group and access groups, stand for too."""
        for one in self.models:  # noqa: SIM110  this is asked for each request
            if not one.allows(model, *others):
                return False
        return True

    def check_model(self, model: str, *others: str) -> None:
        """:raises ModelNotFound: it may not call that model, which it is not told from one that does not exist"""
        if not self.may_use(model, *others):
            raise ModelNotFound(
                f"The model {model[:200]!r} does not exist or you do not have access to it; "
                "GET /v1/models lists what can be used",
                param="model",
            )

    def limits_for(self, *names: str) -> Limits:
        """What is counted of a request to a model of these names."""
        found = self.limits
        if self.model_limits:
            for name in dict.fromkeys(names):
                if name in self.model_limits:
                    found += self.model_limits[name]
        return found

    def budgets_for(self, *names: str) -> tuple[Budget, ...]:
        """The budgets that pay for a request to a model of these names."""
        found = self.budgets
        if self.model_budgets:
            for name in dict.fromkeys(names):
                found += self.model_budgets.get(name, ())
        return found


MASTER = Caller(name="master", is_master=True, role="master")
NOBODY = Caller(name="")
"""Whoever calls a route that is open to all."""


class Gatekeeper:
    """Tells callers from strangers. Compares in constant time and never keeps what it was shown."""

    def __init__(self, settings: AccessSettings) -> None:
        key = settings.master_key
        self._master = None if key is None else key.reveal().encode()
        self._caller = master_of(settings)
        self.is_open = key is None
        """Whether no key is asked for."""
        self.is_open_on_purpose = settings.is_open_on_purpose
        extra = () if settings.key_header is None else (settings.key_header.lower().encode(),)
        self._headers = extra + tuple(h for h in KEY_HEADERS if h not in extra)

    def is_master(self, shown: str) -> bool:
        """Whether it is the text of the master key."""
        return self._master is not None and hmac.compare_digest(shown.encode(), self._master)

    def identify(self, headers: Mapping[bytes, bytes]) -> Caller:
        """Find the caller by the key in lower-cased ``headers``, where there are no keys but the master's.

        :raises Unauthenticated: there is no key, or it is not ours
        """
        caller = self.look(headers, _nobody)
        if caller is None:
            raise Unauthenticated(headers=CHALLENGE)
        return caller

    def look(self, headers: Mapping[bytes, bytes], known: Callable[[bytes], Caller | None]) -> Caller | None:
        """The master, or whom ``known`` knows by one of the keys in lower-cased ``headers``.

        :raises Unauthenticated: there is no key at all
        """
        master = self._master
        if master is None:
            return self._caller
        is_any = False
        for name in self._headers:
            value = headers.get(name)
            if value is not None:
                if value[:7].lower() == BEARER:
                    value = value[7:].strip()
                if hmac.compare_digest(value, master):
                    return self._caller
                if value:
                    is_any = True
                    caller = known(value)
                    if caller is not None:
                        return caller
        if not is_any:
            raise Unauthenticated(headers=CHALLENGE)
        return None

    def shown(self, headers: Mapping[bytes, bytes]) -> Iterator[bytes]:
        """The keys in lower-cased ``headers``."""
        for name in self._headers:
            value = headers.get(name)
            if value:
                yield value[7:].strip() if value[:7].lower() == BEARER else value


def _nobody(_key: bytes) -> None:
    return None


def master_of(settings: AccessSettings) -> Caller:
    """The master, with a budget where the operator has set one."""
    if settings.master_budget is None:
        return MASTER
    budget = Budget(kind="key", id=MASTER_ID, hard=settings.master_budget, duration=settings.master_budget_duration)
    return msgspec.structs.replace(MASTER, budgets=(budget,))


# -- from rows to a caller --------------------------------------------------------------------------------------------


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """The row of a key with all the rows that it refers to."""

    id: str
    key: Key
    parent: Key | None = None
    user: User | None = None
    team: Team | None = None
    organization: Organization | None = None
    budgets: Mapping[str, BudgetRow] = {}
    """By id."""


def caller_of(family: Family, now: float) -> Caller:
    """Who calls with a key, compiled once for all its requests.

    :raises Unauthenticated: the key is not valid any more, at ``now`` in seconds since the epoch
    :raises Forbidden: somebody has blocked it, or whom it belongs to
    """
    key = filled(family.key, _budget(family, family.key))
    _check_life(family, key, now)
    holders = tuple(_holders(family, key))
    return Caller(
        name=f"key:{key.account}",
        role=role_of(family),
        id=family.id,
        key=key,
        models=tuple(_model_sets(family, key)),
        limits=sum((_limits(kind, row_id, terms) for kind, row_id, terms in holders), NO_LIMITS),
        model_limits=_model_limits(holders),
        budgets=tuple(one for kind, row_id, terms in holders for one in _budgets(kind, row_id, terms)),
        model_budgets=_model_budgets(holders),
        expires=min(_ends(family), default=None),
        grants=_grants(family, key),
    )


def _ends(family: Family) -> Iterator[float]:
    for key in (family.key, family.parent):
        if key is not None and key.expires is not None:
            yield key.expires.timestamp()


def role_of(family: Family) -> Role:
    """That of its user, or of an admin of its team. Keys that were made by keys have none but the least."""
    user, team = family.user, family.team
    if user is None or family.key.parent is not None or family.key.is_plain:
        return "key"
    role = ROLE_OF_USER.get(user.user_role)
    if role is not None:
        return role
    is_admin = team is not None and any(
        one.user_id == family.key.user_id and one.role == "admin" for one in team.members_with_roles
    )
    return "team_admin" if is_admin else "key"


def _check_life(family: Family, key: Key, now: float) -> None:
    if any(end <= now for end in _ends(family)):
        raise Unauthenticated("This API key has expired", headers=CHALLENGE)
    # A user may be a name that nobody has written down. All others have limits: without them there would be none.
    rows: tuple[tuple[str, str | None, Terms | None], ...] = (
        ("maker", key.parent, family.parent),
        ("team", key.team_id, family.team),
        ("organization", key.organization_id, family.organization),
        *(("budget", row_id, family.budgets.get(row_id)) for row_id in budget_ids(family)),
    )
    for what, name, row in rows:
        if name is not None and row is None:
            raise Forbidden(f"This API key's {what} does not exist any more")
    if key.blocked:
        raise Forbidden("This API key is blocked")
    for what, _, row in (*rows, ("user", None, family.user)):
        if row is not None and row.blocked:
            raise Forbidden(f"This API key's {what} is blocked")


def budget_ids(family: Family) -> tuple[str, ...]:
    """The budgets that its rows refer to."""
    rows = (family.key, family.parent, family.user, family.team, family.organization)
    return tuple(dict.fromkeys(row.budget_id for row in rows if row is not None and row.budget_id is not None))


def _holders(family: Family, key: Key) -> Iterator[tuple[Kind, str, Terms]]:
    """Everybody within whose limits the key is, from the narrowest on."""
    yield "key", key.account, key
    if family.parent is not None:
        yield "key", family.parent.account, filled(family.parent, _budget(family, family.parent))
    above: tuple[tuple[Kind, str | None, Terms | None], ...] = (
        ("user", key.user_id, family.user),
        ("team", key.team_id, family.team),
        ("organization", key.organization_id, family.organization),
    )
    for kind, row_id, terms in above:
        if row_id is not None and terms is not None:
            yield kind, row_id, filled(terms, _budget(family, terms))


def _budget(family: Family, terms: Terms) -> BudgetRow | None:
    return None if terms.budget_id is None else family.budgets.get(terms.budget_id)


def _model_sets(family: Family, key: Key) -> Iterator[ModelSet]:
    rows: list[Terms | None] = [key, family.parent, family.team, family.organization]
    if family.team is None:
        # As LiteLLM has it: what a user may call alone does not bind a team that he works for.
        rows.append(family.user)
    for row in rows:
        found = None if row is None else models_of(row.models)
        if found is not None:
            yield found


def _grants(family: Family, key: Key) -> Grants:
    rows: list[Terms | None] = [family.parent, family.team, family.organization]
    if family.team is None:
        rows.append(family.user)
    above = [row.object_permission for row in rows if row is not None]
    is_made = family.parent is not None
    return grants_of(
        (key.object_permission, *above),
        is_within=is_made and not any(row is not None and row.has_grants for row in above),
        are_agents_within=is_made and not any(row is not None and row.has_agents for row in above),
    )


def _limits(kind: Kind, row_id: str, terms: Terms) -> Limits:
    return Limits(
        requests=_rate(name_of("rpm", kind, row_id), terms.rpm_limit, MINUTE),
        tokens=_rate(name_of("tpm", kind, row_id), terms.tpm_limit, MINUTE)
        + _rate(name_of("tpd", kind, row_id), terms.tpd_limit, DAY),
        slots=()
        if terms.max_parallel_requests is None
        else (
            Limit(key=name_of("slots", kind, row_id), kind="slots", ceiling=terms.max_parallel_requests, window=0.0),
        ),
    )


def _rate(name: str, ceiling: int | None, window: float) -> tuple[Limit, ...]:
    return () if ceiling is None else (Limit(key=name, kind="rate", ceiling=ceiling, window=window),)


def _model_limits(holders: tuple[tuple[Kind, str, Terms], ...]) -> Mapping[str, Limits]:
    found: dict[str, Limits] = {}
    for kind, row_id, terms in holders:
        for model, most in terms.model_rpm_limit.items():
            limits = Limits(requests=_rate(name_of("rpm", kind, row_id, model), most, MINUTE))
            found[model] = found.get(model, NO_LIMITS) + limits
        for model, most in terms.model_tpm_limit.items():
            limits = Limits(tokens=_rate(name_of("tpm", kind, row_id, model), most, MINUTE))
            found[model] = found.get(model, NO_LIMITS) + limits
    return found


def budgets_of(kind: Kind, row_id: str, terms: Terms, shared: BudgetRow | None) -> tuple[Budget, ...]:
    """All budgets of one holder, also those for one model; ``shared`` is the one that it refers to."""
    terms = filled(terms, shared)
    models = _model_budgets(((kind, row_id, terms),)).values()
    return (*_budgets(kind, row_id, terms), *(one for some in models for one in some))


def _budgets(kind: Kind, row_id: str, terms: Terms) -> Iterator[Budget]:
    since = 0.0 if terms.spent_from is None else terms.spent_from.timestamp()
    if terms.max_budget is not None or terms.soft_budget is not None:
        yield Budget(
            kind=kind,
            id=row_id,
            hard=terms.max_budget,
            soft=terms.soft_budget,
            duration=terms.budget_duration,
            since=since,
        )
    for one in terms.budget_limits:
        yield Budget(kind=kind, id=row_id, hard=one.most, duration=one.period, since=since)


def _model_budgets(holders: tuple[tuple[Kind, str, Terms], ...]) -> Mapping[str, tuple[Budget, ...]]:
    found: dict[str, tuple[Budget, ...]] = {}
    for kind, row_id, terms in holders:
        since = 0.0 if terms.spent_from is None else terms.spent_from.timestamp()
        for model, one in terms.model_max_budget.items():
            budget = Budget(kind=kind, id=row_id, hard=one.most, duration=one.period, model=model, since=since)
            found[model] = (*found.get(model, ()), budget)
    return found
