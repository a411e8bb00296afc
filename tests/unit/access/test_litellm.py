from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from pointsman.access.keys import BudgetRow, Key, Member, ModelBudget, Organization, Team, User, to_doc
from pointsman.access.litellm import TABLES, carried

MADE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).replace(tzinfo=None)
TOKEN = "a" * 64
EMPTY: dict[str, Any] = {
    "key_name": "sk-...abcd",
    "key_alias": None,
    "expires": None,
    "models": [],
    "aliases": "{}",
    "config": "{}",
    "permissions": "{}",
    "metadata": "{}",
    "blocked": None,
    "max_budget": None,
    "model_max_budget": "{}",
    "created_at": MADE,
    "created_by": "admin",
}


def key(**columns: Any) -> Any:
    return carried("LiteLLM_VerificationToken", {"token": TOKEN, **EMPTY, **columns})


def test_a_key_that_says_nothing_says_nothing_here() -> None:
    found = key()
    assert (found.table, found.id, found.spent, found.ignored, found.mapped) == ("keys", TOKEN, 0, (), ())
    assert found.row == Key(
        key_name="sk-...abcd",
        account=TOKEN,
        form="sha256",
        created_at=MADE.replace(tzinfo=UTC),
        created_by="admin",
    )


def test_a_key_comes_over_with_its_terms() -> None:
    found = key(
        key_alias="a",
        expires=MADE,
        models=["m", "openai/*"],
        aliases='{"x": "m"}',
        max_budget=12.3,
        budget_duration="30d",
        spend=0.1,
        rpm_limit=0,
        tpm_limit=5,
        max_parallel_requests=2,
        allowed_routes=["llm_api_routes"],
        blocked=True,
        team_id="t",
        user_id="u",
        organization_id="o",
        budget_id="b",
        model_max_budget='{"m": {"budget_limit": 1.5, "time_period": "1d"}, "n": 2}',
        metadata='{"model_rpm_limit": {"m": 3}, "tags": ["x"], "mine": 1}',
    )
    row = found.row
    assert (row.key_alias, row.models, row.aliases, row.expires) == (
        "a",
        ("m", "openai/*"),
        {"x": "m"},
        MADE.replace(tzinfo=UTC),
    )
    assert (row.max_budget, row.budget_duration, found.spent) == (Decimal("12.3"), "30d", Decimal("0.1"))
    assert (row.rpm_limit, row.tpm_limit, row.max_parallel_requests, row.blocked) == (0, 5, 2, True)
    assert (row.team_id, row.user_id, row.organization_id, row.budget_id) == ("t", "u", "o", "b")
    assert row.model_max_budget == {
        "m": ModelBudget(budget_limit=Decimal("1.5"), time_period="1d"),
        "n": ModelBudget(max_budget=Decimal(2)),
    }
    assert (row.model_rpm_limit, row.tags, row.metadata) == ({"m": 3}, ("x",), {"mine": 1})
    assert row.allowed_routes == ("llm_api_routes",)


def test_what_says_something_that_has_no_meaning_here_is_named() -> None:
    found = key(permissions='{"pii": true}', project_id="p", router_settings="{}", object_permission_id="x")
    assert found.ignored == ("object_permission_id", "permissions", "project_id")


@pytest.mark.parametrize(
    "columns", [{"max_budget": -1.0}, {"max_budget": 1.0, "budget_duration": "1y"}, {"max_budget": float("nan")}]
)
def test_terms_that_make_no_sense_are_refused(columns: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="budget"):
        key(**columns)


def test_a_row_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        key(models=[""])


@pytest.mark.parametrize(
    ("role", "ours", "mapped"),
    [
        ("proxy_admin", "proxy_admin", ()),
        ("proxy_admin_viewer", "proxy_admin_viewer", ()),
        ("internal_user_viewer", "internal_user", ("user_role internal_user_viewer is internal_user",)),
        ("org_admin", "internal_user", ("user_role org_admin is internal_user",)),
        (None, "internal_user", ()),
    ],
)
def test_no_role_becomes_more_than_it_was(role: str | None, ours: str, mapped: tuple[str, ...]) -> None:
    found = carried("LiteLLM_UserTable", {"user_id": "u", "user_role": role, "teams": ["t"], "password": "x"})
    assert isinstance(found.row, User)
    assert (found.row.user_role, found.row.teams, found.mapped, found.ignored) == (ours, ("t",), mapped, ())


def test_a_team_comes_over_with_its_members() -> None:
    members = '[{"user_id": "a", "role": "admin"}, {"user_id": "b", "role": "user"}, {"user_email": "c@x"}]'
    found = carried("LiteLLM_TeamTable", {"team_id": "t", "team_alias": "T", "members_with_roles": members, "spend": 1})
    assert isinstance(found.row, Team)
    assert found.row.members_with_roles == (Member("a", "admin"), Member("b"))
    assert found.mapped == ("members without a user_id are left out",)
    empty = carried("LiteLLM_TeamTable", {"team_id": "t", "members_with_roles": "{}"})
    assert isinstance(empty.row, Team)
    assert empty.row.members_with_roles == ()


def test_budgets_and_organizations_come_over() -> None:
    budget = carried("LiteLLM_BudgetTable", {"budget_id": "b", "max_budget": 5.0, "soft_budget": 4.5})
    assert (budget.table, budget.id) == ("budgets", "b")
    assert isinstance(budget.row, BudgetRow)
    assert (budget.row.max_budget, budget.row.soft_budget) == (Decimal("5.0"), Decimal("4.5"))
    organization = carried("LiteLLM_OrganizationTable", {"organization_id": "o", "budget_id": "b", "models": ["m"]})
    assert isinstance(organization.row, Organization)
    assert (organization.row.budget_id, organization.row.models) == ("b", ("m",))


@pytest.mark.parametrize("source", TABLES)
def test_every_row_can_be_listed_by_when_it_was_made(source: str) -> None:
    found = carried(source, {TABLES[source][1]: "x"})
    assert to_doc(found.row)["created_at"] == "1970-01-01T00:00:00Z"
