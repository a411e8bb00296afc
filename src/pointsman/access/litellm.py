"""Rows of LiteLLM's database as ours: what is carried over, under which name, and what is left behind.

A key comes over as what LiteLLM has of it, its SHA-256: it goes on working, and another one of ours can take its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from pointsman.access.keys import BudgetRow, Key, Organization, Team, Terms, User, check_terms, from_doc

TABLES: Mapping[str, tuple[str, str, type[Terms]]] = {
    "LiteLLM_BudgetTable": ("budgets", "budget_id", BudgetRow),
    "LiteLLM_OrganizationTable": ("organizations", "organization_id", Organization),
    "LiteLLM_TeamTable": ("teams", "team_id", Team),
    "LiteLLM_UserTable": ("users", "user_id", User),
    "LiteLLM_VerificationToken": ("keys", "token", Key),
}
"""LiteLLM's tables, each after those that it refers to: ours, the member that is the id, and what a row is."""
LIFTED = ("model_rpm_limit", "model_tpm_limit", "tags", "soft_budget", "tpd_limit")
"""What LiteLLM keeps in ``metadata``."""
NEEDLESS = frozenset(
    {
        *("spend", "model_spend", "budget_reset_at", "created_at", "updated_at", "soft_budget_cooldown"),
        *("last_active", "admins", "members", "sso_user_id", "password"),
        *("last_rotation_at", "key_rotation_at", "rotation_count"),
    }
)
"""What has another place here, or none."""
ROLES = frozenset({"proxy_admin", "proxy_admin_viewer", "internal_user"})
NOTHING: tuple[Any, ...] = (None, "", False, 0, (), [], {})


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """A row that comes over."""

    table: str
    id: str
    row: Terms
    spent: Decimal = Decimal(0)
    """US dollars that count for its budget of the moment."""
    ignored: tuple[str, ...] = ()
    """Members that say something and have no meaning here."""
    mapped: tuple[str, ...] = ()
    """What means something else here, as it is told to people."""


def carried(source: str, given: Mapping[str, Any]) -> Carried:
    """A row of LiteLLM's table ``source`` as ours.

    :raises ValueError: its terms make no sense; the text says why
    """
    table, id_name, kind = TABLES[source]
    row = {name: _plain(value) for name, value in given.items()}
    doc = dict(_members(row, kind))
    mapped = tuple(_adapt(doc, row, kind))
    doc |= {"created_by": str(row.get("created_by") or "litellm")}
    if kind is Key:
        doc |= {"account": row[id_name], "form": "sha256"}
    found = from_doc(doc, kind)
    wrong = check_terms(found)
    if wrong is not None:
        raise ValueError(f"{wrong[0]}: {wrong[1]}")
    return Carried(
        table=table,
        id=str(row[id_name]),
        row=found,
        spent=Decimal(str(row.get("spend") or 0)),
        ignored=tuple(sorted(_ignored(row, kind, id_name))),
        mapped=mapped,
    )


def _members(row: Mapping[str, Any], kind: type[Terms]) -> Iterator[tuple[str, Any]]:
    metadata = row.get("metadata")
    lifted = metadata if isinstance(metadata, dict) else {}
    for name in kind.__struct_fields__:
        value = row.get(name)
        if name in LIFTED and value in NOTHING:
            value = lifted.get(name)
        # A limit of 0 says something, false does not.
        if value not in NOTHING or (value == 0 and not isinstance(value, bool)):
            yield name, value


def _adapt(doc: dict[str, Any], row: Mapping[str, Any], kind: type[Terms]) -> Iterator[str]:
    """Put right what LiteLLM writes in another way; tells what means something else."""
    for name in ("max_budget", "soft_budget"):
        if name in doc:
            doc[name] = str(doc[name])
    if isinstance(doc.get("metadata"), dict):
        doc["metadata"] = {name: value for name, value in doc["metadata"].items() if name not in LIFTED}
    doc["model_max_budget"] = {
        model: value if isinstance(value, dict) else {"max_budget": value}
        for model, value in (doc.get("model_max_budget") or {}).items()
    }
    doc["created_at"] = doc.get("created_at") or _moment(datetime.fromtimestamp(0, UTC))
    role = row.get("user_role")
    if kind is User and role not in ROLES:
        doc["user_role"] = "internal_user"
        if role:
            yield f"user_role {role} is internal_user"
    if kind is Team:
        members = row.get("members_with_roles") or []
        named = [one for one in members if isinstance(one, dict) and one.get("user_id")]
        doc["members_with_roles"] = [
            {"user_id": one["user_id"], "role": "admin" if one.get("role") == "admin" else "user"} for one in named
        ]
        if len(named) < len(members):
            yield "members without a user_id are left out"


def _ignored(row: Mapping[str, Any], kind: type[Terms], id_name: str) -> Iterator[str]:
    known = {*kind.__struct_fields__, *NEEDLESS, id_name}
    for name, value in row.items():
        if name not in known and value not in NOTHING:
            yield name


def _plain(value: Any) -> Any:
    """Columns of JSON come as text, and times without their zone, which is UTC."""
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, str) and value[:1] in {"{", "["}:
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError:
            return value
    return value


def _moment(value: datetime) -> str:
    return (value if value.tzinfo is not None else value.replace(tzinfo=UTC)).isoformat()
