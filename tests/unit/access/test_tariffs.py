from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest

from pointsman.access.caller import MASTER, Caller, Family, caller_of
from pointsman.access.estimates import Estimate, Rates
from pointsman.access.keys import Key, ModelBudget, Team
from pointsman.access.limits import Charge, Grant, Limit, Refusal
from pointsman.access.tariffs import Tariff, refused
from pointsman.errors import BudgetExceeded, RateLimited
from pointsman.store.memory import MemoryCounters

NOW = 1_800_000_000.0
GUESS = Estimate(tokens=500, nanos=2_000)


def caller(team: Team | None = None, **key: Any) -> Caller:
    made = Key(account="k1", team_id=None if team is None else "t1", **key)
    return caller_of(Family(id="row", key=made, team=team), NOW)


def tariff(team: Team | None = None, **key: Any) -> Tariff:
    return Tariff(caller(team, **key), "m", "m", Rates())


def charges(made: Tariff, guess: Estimate = GUESS) -> dict[str, int]:
    return {one.limit.key.rpartition(":")[0]: one.amount for one in made.charges_for(guess, made.moneys(NOW))}


def left(**known: int) -> Callable[[Limit], int | None]:
    """What is left, by what the keys of limits begin with."""
    return lambda limit: known.get("_".join(limit.key.split(":")[:2]))


def test_a_request_brings_all_that_it_will_use_of_the_key_and_of_whom_it_belongs_to() -> None:
    team = Team(rpm_limit=5, tpm_limit=400, max_budget=Decimal(3))
    made = tariff(team, rpm_limit=2, tpm_limit=1000, max_parallel_requests=4, max_budget=Decimal(1))
    assert charges(made) == {
        "rpm:key": 1,
        "rpm:team": 1,
        "slots:key": 1,
        "tpm:key": 500,
        # More than a limit ever lets through at a time is not asked of it.
        "tpm:team": 400,
        "money:key:k1:ever": 2_000,
        "money:team:t1:ever": 2_000,
    }


def test_what_costs_nothing_takes_the_least_of_a_budget_so_that_an_empty_one_refuses_it() -> None:
    assert charges(tariff(max_budget=Decimal(1)), Estimate(0, 0)) == {"money:key:k1:ever": 1}


def test_a_limit_of_no_tokens_lets_nothing_through() -> None:
    (charge,) = tariff(tpm_limit=0).charges_for(GUESS, ())
    assert charge.amount == 1 > charge.limit.ceiling


def test_of_two_budgets_with_one_counter_the_smaller_one_pays() -> None:
    more = (ModelBudget(max_budget=Decimal(2), budget_duration="1d"),)
    made = tariff(max_budget=Decimal(5), budget_duration="1d", budget_limits=more)
    assert [limit.ceiling for _, limit in made.moneys(NOW)] == [2 * 10**9]


def test_limits_of_other_models_do_not_count() -> None:
    key = caller(model_rpm_limit={"m": 3, "other": 1}, model_max_budget={"other": ModelBudget(max_budget=Decimal(1))})
    made = Tariff(key, "m", "m", Rates())
    assert [one.limit.ceiling for one in made.charges] == [3]
    assert made.moneys(NOW) == ()


def test_replies_tell_what_is_left_of_the_tightest_limit_and_what_the_key_has_spent_before() -> None:
    team = Team(rpm_limit=50)
    made = tariff(team, rpm_limit=20, tpm_limit=1000, tpd_limit=5000, max_budget=Decimal("1.5"))
    grant = Grant(made.charges_for(GUESS, made.moneys(NOW)), 0.0)
    known = left(rpm_key=19, rpm_team=3, tpm_key=500, money_key=10**9)
    assert made.lines(known, grant).decode().splitlines() == [
        "x-litellm-key-max-budget: 1.5",
        "x-litellm-key-tpm-limit: 1000",
        "x-litellm-key-rpm-limit: 20",
        "x-ratelimit-limit-requests: 50",
        "x-ratelimit-reset-requests: 1m0s",
        "x-ratelimit-remaining-requests: 3",
        "x-ratelimit-limit-tokens: 1000",
        "x-ratelimit-reset-tokens: 1m0s",
        "x-ratelimit-remaining-tokens: 500",
        "x-litellm-key-spend: 0.499998000",
    ]


def test_replies_tell_what_is_left_of_the_only_limit_of_each_kind() -> None:
    made = tariff(rpm_limit=20, tpm_limit=1000)
    grant = Grant(made.charges_for(GUESS, ()), 0.0)
    assert made.lines(left(rpm_key=19, tpm_key=500), grant).decode().splitlines() == [
        "x-litellm-key-tpm-limit: 1000",
        "x-litellm-key-rpm-limit: 20",
        "x-ratelimit-limit-requests: 20",
        "x-ratelimit-reset-requests: 1m0s",
        "x-ratelimit-remaining-requests: 19",
        "x-ratelimit-limit-tokens: 1000",
        "x-ratelimit-reset-tokens: 1m0s",
        "x-ratelimit-remaining-tokens: 500",
    ]


@pytest.mark.parametrize(
    "terms",
    [
        {"rpm_limit": 20, "tpm_limit": 1000, "max_budget": Decimal("1.5")},
        {"rpm_limit": 20, "max_parallel_requests": 3, "tpd_limit": 1000, "max_budget": Decimal("1.5")},
        {"tpm_limit": 1000},
        {"max_budget": Decimal("1.5")},
        {"rpm_limit": 20, "tpm_limit": 1000, "tpd_limit": 5000, "max_budget": Decimal("1.5")},
        {"rpm_limit": 20, "max_budget": Decimal(1), "model_max_budget": {"m": ModelBudget(max_budget=Decimal(1))}},
        {},
    ],
)
def test_whoever_was_let_in_just_now_is_told_the_same_without_looking_again(terms: dict[str, Any]) -> None:
    made, counters = tariff(Team(), **terms), MemoryCounters(clock=lambda: 7.0)
    moneys = made.moneys(NOW)
    for _, limit in moneys:
        counters.set_spent(limit.key, 10**9 // 4)
    asked: Sequence[Charge]
    for asked in (made.charges_for(GUESS, moneys), made.charges):
        grant = counters.reserve_now(asked)
        assert isinstance(grant, Grant)
        assert made.granted_lines(counters.remaining, grant) == made.lines(counters.remaining, grant)


def test_replies_do_not_tell_what_is_not_known() -> None:
    made = tariff(tpd_limit=1000, max_budget=Decimal(1))
    grant = Grant(made.charges_for(GUESS, made.moneys(NOW)), 0.0)
    assert made.headers(lambda _: None, grant) == (
        ("x-litellm-key-max-budget", "1"),
        ("x-ratelimit-limit-tokens", "1000"),
        ("x-ratelimit-reset-tokens", "24h0m0s"),
    )
    assert Tariff(MASTER, "m", "m", Rates()).lines(lambda _: None, None) == b""


@pytest.mark.parametrize(
    ("limit", "what", "param", "retry_after"),
    [
        (Limit("rpm:key:k1", "rate", 3, 60.0), "requests per minute", "rpm_limit", 12.5),
        (Limit("tpm:team:t1:gpt", "rate", 3, 60.0), "tokens per minute", "tpm_limit", 12.5),
        (Limit("tpd:user:a:b", "rate", 3, 86400.0), "tokens per day", "tpd_limit", 12.5),
        (Limit("slots:key:k1", "slots", 3, 0.0), "requests at a time", "max_parallel_requests", 1.0),
    ],
)
def test_whoever_is_over_a_limit_is_told_which_and_when_to_come_back(
    limit: Limit, what: str, param: str, retry_after: float
) -> None:
    error = refused(Refusal(limit, 12.5, 2), [Charge(limit, 5)], (), NOW)
    assert isinstance(error, RateLimited)
    holder = limit.key.split(":")[1]
    assert error.message == f"Rate limit reached: this {holder} may have 3 {what}, of which 2 are left"
    assert (error.param, error.retry_after) == (param, retry_after)


def test_whoever_has_spent_all_is_told_so_in_the_words_of_litellm() -> None:
    made = tariff(max_budget=Decimal("0.25"))
    moneys = made.moneys(NOW)
    error = refused(Refusal(moneys[0][1], None, 0), made.charges_for(GUESS, moneys), moneys, NOW)
    assert isinstance(error, BudgetExceeded)
    assert error.message == "Budget has been exceeded! Key: Current cost: 0.25, Max budget: 0.25"
    assert (error.param, error.retry_after) == ("max_budget", None)


def test_whoever_has_too_little_left_is_told_what_the_request_may_cost_and_when_there_is_new_money() -> None:
    made = tariff(max_budget=Decimal("0.25"), budget_duration="1d")
    moneys = made.moneys(NOW)
    error = refused(Refusal(moneys[0][1], None, 1_000), made.charges_for(GUESS, moneys), moneys, NOW)
    assert error.message == (
        "Budget of this key is too small for this request, which may cost 0.000002: "
        "Current cost: 0.249999, Max budget: 0.25. A smaller max_tokens may do"
    )
    assert error.retry_after == 57_600.0


def test_a_budget_that_is_soft_only_counts_and_refuses_nobody() -> None:
    ((budget, limit),) = tariff(soft_budget=Decimal(1)).moneys(NOW)
    assert budget.limit(NOW) is None
    assert limit.ceiling > 10**18


def test_what_can_never_pass_is_not_told_to_come_back() -> None:
    made = tariff(rpm_limit=0, max_budget=Decimal("0.000001"), budget_duration="1d")
    moneys = made.moneys(NOW)
    (rate, money) = made.charges_for(GUESS, moneys)
    error = refused(Refusal(rate.limit, 1.0, 0), (rate, money), moneys, NOW)
    assert isinstance(error, RateLimited)
    assert error.retry_after is None
    error = refused(Refusal(money.limit, None, 1_000), (rate, money), moneys, NOW)
    assert isinstance(error, BudgetExceeded)
    assert error.retry_after is None
