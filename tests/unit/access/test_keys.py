from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.access.keys import (
    BudgetRow,
    Key,
    Member,
    ModelBudget,
    ModelSet,
    Pepper,
    Team,
    check_terms,
    covers,
    filled,
    from_doc,
    models_of,
    shown,
    to_doc,
)


@given(st.binary(min_size=1, max_size=200), st.binary(max_size=600))
def test_a_digest_is_hmac_sha256(secret: bytes, key: bytes) -> None:
    assert Pepper(secret).digest(key) == hmac.digest(secret, key, "sha256")


def test_a_key_has_the_ids_of_ours_and_of_litellms() -> None:
    pepper = Pepper(b"salt")
    assert pepper.ids(b"sk-1") == (
        (pepper.digest(b"sk-1").hex(), "hmac"),
        (hashlib.sha256(b"sk-1").hexdigest(), "sha256"),
    )


def test_of_a_key_its_beginning_and_its_end_are_shown() -> None:
    assert shown("sk-abcdefghijklmnop") == "sk-...mnop"


def test_a_row_comes_back_as_it_was_written() -> None:
    key = Key(
        key_alias="a",
        models=("m", "openai/*"),
        max_budget=Decimal("0.000000001"),
        model_max_budget={"m": ModelBudget(budget_limit=Decimal(1), time_period="1d")},
        expires=datetime(2027, 1, 1, tzinfo=UTC),
        metadata={"a": [1, None]},
        parent="p",
    )
    doc = to_doc(key)
    assert from_doc(msgspec.json.decode(msgspec.json.encode(doc)), Key) == key
    team = Team(members_with_roles=(Member("u", "admin"),))
    assert from_doc(to_doc(team), Team) == team


def test_a_row_holds_only_what_was_said() -> None:
    assert to_doc(Key(key_alias="a")) == {"key_alias": "a"}


@pytest.mark.parametrize(
    "doc",
    [
        {"max_budget": "much"},
        {"rpm_limit": -1},
        {"rpm_limit": 1.5},
        {"models": ["a\n"]},
        {"models": [""]},
        {"key_alias": "x" * 201},
        {"form": "md5"},
        {"expires": "tomorrow"},
    ],
)
def test_a_row_that_makes_no_sense_is_refused(doc: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        from_doc(doc, Key)


@pytest.mark.parametrize(
    ("terms", "name"),
    [
        (Key(budget_duration="1y"), "budget_duration"),
        (Key(max_budget=Decimal(-1)), "max_budget"),
        (Key(max_budget=Decimal("NaN")), "max_budget"),
        (Key(soft_budget=Decimal("Infinity")), "soft_budget"),
        (Key(model_max_budget={"m": ModelBudget(max_budget=Decimal(10**10))}), "model_max_budget"),
        (Key(budget_limits=(ModelBudget(max_budget=Decimal(1), budget_duration="x"),)), "budget_limits"),
        (Key(budget_limits=(ModelBudget(budget_duration="1d"),)), "budget_limits"),
        (Key(model_max_budget={"m": ModelBudget()}), "model_max_budget"),
        (Key(budget_limits=(ModelBudget(max_budget=Decimal(1)), ModelBudget(max_budget=Decimal(2)))), "budget_limits"),
        (
            Key(
                max_budget=Decimal(1),
                budget_duration="1d",
                budget_limits=(ModelBudget(max_budget=Decimal(2), budget_duration="1d"),),
            ),
            "budget_limits",
        ),
    ],
)
def test_terms_that_make_no_sense_are_found(terms: Key, name: str) -> None:
    wrong = check_terms(terms)
    assert wrong is not None
    assert wrong[0] == name


def test_terms_that_make_sense_are_not() -> None:
    budgets = (ModelBudget(max_budget=Decimal(1), budget_duration="1h"),)
    assert check_terms(Key(max_budget=Decimal(2), budget_duration="1d", budget_limits=budgets)) is None
    assert check_terms(Key(budget_limits=(ModelBudget(max_budget=Decimal(1)),))) is None


def test_a_budget_fills_what_is_not_said() -> None:
    budget = BudgetRow(max_budget=Decimal(5), budget_duration="1d", rpm_limit=10, tpm_limit=100)
    assert filled(Key(), None) == Key()
    assert filled(Key(rpm_limit=3), budget) == Key(
        max_budget=Decimal(5), budget_duration="1d", rpm_limit=3, tpm_limit=100
    )


def test_the_time_of_a_budget_is_not_taken_for_other_money() -> None:
    budget = BudgetRow(max_budget=Decimal(5), budget_duration="1d")
    assert filled(Key(max_budget=Decimal(1)), budget).budget_duration is None


def test_no_limit_at_all_is_not_filled_over() -> None:
    assert filled(Key(rpm_limit=0), BudgetRow(rpm_limit=10)).rpm_limit == 0


@pytest.mark.parametrize(
    ("names", "model", "others", "is_allowed"),
    [
        (("a",), "a", (), True),
        (("a",), "b", (), False),
        (("a",), "alias", ("a",), True),
        (("openai/*",), "openai/gpt", (), True),
        (("openai/*",), "openai/", (), False),
        (("openai/*",), "azure/openai/gpt", (), False),
        (("*-mini",), "gpt-mini", (), True),
        (("*-mini",), "gpt-mini-2", (), False),
        (("no-default-models",), "a", (), False),
    ],
)
def test_a_set_of_models_allows_names_and_patterns(
    names: tuple[str, ...], model: str, others: tuple[str, ...], is_allowed: bool
) -> None:
    assert ModelSet(names).allows(model, *others) is is_allowed


@pytest.mark.parametrize("names", [(), ("*",), ("a", "all-proxy-models"), ("all-team-models",)])
def test_some_names_stand_for_all_models(names: tuple[str, ...]) -> None:
    assert models_of(names) is None


@pytest.mark.parametrize(
    ("mine", "wanted", "does"),
    [
        ((), (), True),
        ((), ("a",), True),
        (("*",), (), True),
        (("a",), (), False),
        (("a",), ("*",), False),
        (("a",), ("all-team-models",), False),
        (("a", "b"), ("a",), True),
        (("a",), ("a", "b"), False),
        (("openai/*",), ("openai/gpt",), True),
        (("openai/*",), ("openai/*",), True),
        (("openai/*",), ("openai/g*",), True),
        (("openai/g*",), ("openai/*",), False),
    ],
)
def test_models_cover_others_that_are_among_them(mine: tuple[str, ...], wanted: tuple[str, ...], does: bool) -> None:
    assert covers(mine, wanted) is does
