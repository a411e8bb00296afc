"""What is kept of keys, and of the users, teams and organizations that they belong to.

A key itself is never kept: what is stored, looked up and shown is its digest, HMAC-SHA-256 under a **pepper** that lies
elsewhere than the digests. Keys that LiteLLM has made are known by their plain SHA-256, and marked so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from pointsman.access.budgets import seconds_of, window_of

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"\A[^\x00-\x1f\x7f]+\Z")]
Names = Annotated[tuple[Name, ...], msgspec.Meta(max_length=1000)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Counts = Annotated[dict[Name, Count], msgspec.Meta(max_length=1000)]
Form = Literal["hmac", "sha256"]
UserRole = Literal["proxy_admin", "proxy_admin_viewer", "internal_user"]

BLOCK = 64
"""Bytes that SHA-256 works with at a time."""
MAX_DOLLARS = Decimal(10**9)
"""In nano-dollars they are counted, as 64-bit integers."""
KEY_BYTES = 512
"""A longer one is none of ours."""
MAX_REPLACED = 100
MIN_KEY = 24
"""Characters of a key that somebody else has made up."""
ANY = frozenset({"*", "all-proxy-models", "all-team-models"})
"""Names that stand for every model; how far they reach, the team's own models say."""


class Pepper:
    """Makes digests of keys."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, secret: bytes) -> None:
        # HMAC with both pads hashed already: this is done for each request.
        block = (hashlib.sha256(secret).digest() if len(secret) > BLOCK else secret).ljust(BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(one ^ 0x36 for one in block))
        self._outer = hashlib.sha256(bytes(one ^ 0x5C for one in block))

    def digest(self, key: bytes) -> bytes:
        """HMAC-SHA-256 of a key."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(key)
        outer.update(inner.digest())
        return outer.digest()

    def ids(self, key: bytes) -> tuple[tuple[str, Form], ...]:
        """The ids that the row of a key can have, each with the form that the row must have then."""
        return (self.digest(key).hex(), "hmac"), (hashlib.sha256(key).hexdigest(), "sha256")


def shown(key: str) -> str:
    """What is shown of a key: enough to tell it from others, not enough to guess it."""
    return f"{key[:3]}...{key[-4:]}"


class ModelBudget(msgspec.Struct, frozen=True, omit_defaults=True):
    """Money for one model; LiteLLM has two names for each."""

    max_budget: Decimal | None = None
    budget_duration: str | None = None
    budget_limit: Decimal | None = None
    time_period: str | None = None

    @property
    def most(self) -> Decimal | None:
        """US dollars."""
        return self.max_budget if self.max_budget is not None else self.budget_limit

    @property
    def period(self) -> str | None:
        """After which there is new money."""
        return self.budget_duration or self.time_period


class ObjectPermission(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The member ``object_permission`` of a row, as LiteLLM has it; empty is as good as missing."""

    mcp_servers: Names | None = None
    """Ids."""
    mcp_access_groups: Names | None = None
    """Of servers."""
    mcp_tool_permissions: Annotated[dict[Name, Names], msgspec.Meta(max_length=1000)] | None = None
    """By server: names of tools, or patterns with ``*``. It need not stand in ``mcp_servers`` too."""
    blocked_tools: Names | None = None
    """The same, also as ``server__tool``; they are not to be used although something allows them."""
    agents: Names | None = None
    """Ids."""
    agent_access_groups: Names | None = None
    """Of agents."""
    agent_operations: Annotated[dict[Name, Names], msgspec.Meta(max_length=1000)] | None = None
    """By agent: what it may be asked, such as ``send`` or ``*push``. It need not stand in ``agents`` too."""

    @property
    def has_grants(self) -> bool:
        """Whether it says which servers may be used."""
        return bool(self.mcp_servers or self.mcp_access_groups or self.mcp_tool_permissions)

    @property
    def has_agents(self) -> bool:
        """Whether it says which agents may be asked."""
        return bool(self.agents or self.agent_access_groups or self.agent_operations)


class Terms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What is agreed with whoever spends; ``None`` is no limit, and no names are all."""

    models: Names = ()
    max_budget: Decimal | None = None
    soft_budget: Decimal | None = None
    budget_duration: str | None = None
    budget_limits: Annotated[tuple[ModelBudget, ...], msgspec.Meta(max_length=16)] = ()
    """More budgets, each with a time of its own."""
    model_max_budget: Annotated[dict[Name, ModelBudget], msgspec.Meta(max_length=1000)] = {}
    rpm_limit: Count | None = None
    tpm_limit: Count | None = None
    tpd_limit: Count | None = None
    max_parallel_requests: Count | None = None
    model_rpm_limit: Counts = {}
    model_tpm_limit: Counts = {}
    budget_id: Name | None = None
    """A budget whose terms hold where these say nothing."""
    object_permission: ObjectPermission | None = None
    """Which MCP servers, tools and agents may be used."""
    metadata: dict[str, Any] = {}
    tags: Names = ()
    blocked: bool = False
    created_at: datetime | None = None
    created_by: str = ""
    updated_at: datetime | None = None
    updated_by: str = ""
    spent_from: datetime | None = None
    """Nothing that was spent before counts for budgets."""


class Key(Terms, frozen=True, kw_only=True, omit_defaults=True):
    """A virtual key; its id is its digest."""

    key_name: str = ""
    """What is shown of it."""
    key_alias: Name | None = None
    expires: datetime | None = None
    user_id: Name | None = None
    team_id: Name | None = None
    organization_id: Name | None = None
    aliases: Annotated[dict[Name, Name], msgspec.Meta(max_length=1000)] = {}
    """Names of models, and what they stand for."""
    allowed_routes: Names = ()
    parent: str | None = None
    """Id of the key that has made it, within whose limits it stays and without which it does not work."""
    is_plain: bool = False
    """Whether it has none of its user's powers: somebody else, who may know it, has made it without being an admin."""
    account: str = ""
    """What its spend is booked under: the id of the first key of those that have taken each other's place."""
    replaces: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_REPLACED)] = ()
    """Ids of those whose place it has taken and that may go on for a while: they are blocked and deleted with it."""
    form: Form = "hmac"


class Member(msgspec.Struct, frozen=True):
    """Who belongs to a team."""

    user_id: Name
    role: Literal["admin", "user"] = "user"


class Team(Terms, frozen=True, kw_only=True, omit_defaults=True):
    """A team: the limits of all its keys together."""

    team_alias: Name | None = None
    organization_id: Name | None = None
    members_with_roles: Annotated[tuple[Member, ...], msgspec.Meta(max_length=10_000)] = ()


class User(Terms, frozen=True, kw_only=True, omit_defaults=True):
    """A person or a service: the limits of all its keys together."""

    user_email: Name | None = None
    user_alias: Name | None = None
    user_role: UserRole = "internal_user"
    teams: Names = ()


class Organization(Terms, frozen=True, kw_only=True, omit_defaults=True):
    """Whom teams belong to."""

    organization_alias: Name | None = None


class BudgetRow(Terms, frozen=True, kw_only=True, omit_defaults=True):
    """Terms that several holders refer to."""


T = TypeVar("T", bound=Terms)
FILLED = (
    "max_budget",
    "soft_budget",
    "budget_duration",
    "budget_limits",
    "model_max_budget",
    "rpm_limit",
    "tpm_limit",
    "tpd_limit",
    "max_parallel_requests",
    "model_rpm_limit",
    "model_tpm_limit",
)
"""What a budget that is referred to can say."""


def check_terms(terms: Terms) -> tuple[str, str] | None:
    """What is wrong with them, after the member's name; ``None``: nothing."""
    periods = [("budget_duration", terms.budget_duration)]
    periods += [("budget_limits", one.period) for one in terms.budget_limits]
    periods += [("model_max_budget", one.period) for one in terms.model_max_budget.values()]
    for name, period in periods:
        if period is not None:
            try:
                window_of(period, 0.0)
                seconds_of(period)
            except ValueError as error:
                return name, str(error)
    for name, most, is_needed in _amounts(terms):
        if most is None and is_needed:
            return name, "a budget needs max_budget"
        if most is not None and not (most.is_finite() and 0 <= most <= MAX_DOLLARS):
            return name, f"a budget is from 0 to {MAX_DOLLARS:,} US dollars"
    named = [terms.budget_duration, *(one.period for one in terms.budget_limits)]
    if terms.max_budget is None and terms.soft_budget is None:
        named = named[1:]
    if len(set(named)) < len(named):
        return "budget_limits", "each budget needs a budget_duration of its own"
    return None


def _amounts(terms: Terms) -> Iterator[tuple[str, Decimal | None, bool]]:
    """Money, after the member's name, and whether there has to be any."""
    yield "max_budget", terms.max_budget, False
    yield "soft_budget", terms.soft_budget, False
    for one in terms.budget_limits:
        yield "budget_limits", one.most, True
    for one in terms.model_max_budget.values():
        yield "model_max_budget", one.most, True


def filled(terms: T, budget: BudgetRow | None) -> T:
    """Terms with those of the budget that they refer to where they say nothing themselves."""
    if budget is None:
        return terms
    # 0 is something that is said.
    missing = {name: getattr(budget, name) for name in FILLED if getattr(terms, name) in (None, (), {})}
    if terms.max_budget is not None:
        # The time belongs to the money.
        missing.pop("budget_duration", None)
    return msgspec.structs.replace(terms, **missing)


# -- models ---------------------------------------------------------------------------------------------------------


class ModelSet:
    """Models that somebody may use: names, access groups, and patterns with one ``*``."""

    __slots__ = ("_names", "_patterns")

    def __init__(self, names: Iterable[str]) -> None:
        given = tuple(names)
        self._names = frozenset(given)
        self._patterns = tuple((one.partition("*")[0], one.partition("*")[2]) for one in given if "*" in one)

    def allows(self, model: str, *others: str) -> bool:
        """Whether ``model`` may be used, which ``others``, its group and access groups, stand for too."""
        if model in self._names or not self._names.isdisjoint(others):
            return True
        return any(
            len(model) > len(prefix) + len(suffix) and model.startswith(prefix) and model.endswith(suffix)
            for prefix, suffix in self._patterns
        )


@lru_cache(maxsize=4096)
def models_of(names: tuple[str, ...]) -> ModelSet | None:
    """One for all who may use the same; ``None``: all models."""
    return None if not names or not ANY.isdisjoint(names) else ModelSet(names)


def covers(mine: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """Whether everything that is wanted is in what one has."""
    allowed = models_of(mine)
    if allowed is None:
        return True
    # A pattern is covered by the same one, or by one that is wider.
    return bool(wanted) and ANY.isdisjoint(wanted) and all(allowed.allows(one) for one in wanted)


def to_doc(holder: Terms) -> dict[str, Any]:
    """As it is stored: members that are what they are by default are left out."""
    doc: dict[str, Any] = msgspec.to_builtins(holder)
    return doc


def from_doc(doc: Mapping[str, Any], kind: type[T]) -> T:
    """What :func:`to_doc` has made.

    :raises msgspec.ValidationError: somebody else has made it
    """
    return msgspec.convert(doc, kind)
