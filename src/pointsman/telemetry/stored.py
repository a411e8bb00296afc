"""What is told of the store of keys, of the ledger, and of budgets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from prometheus_client.core import Metric

from pointsman.telemetry.facts import MetricFact, gauge, single

_KEY: Final = ("hashed_api_key", "api_key_alias")
_TEAM: Final = ("team",)

STORE_UP: Final = MetricFact("pointsman_store_up", "gauge", "1 while the database of keys and spend answers")
KEYS_KNOWN: Final = MetricFact("pointsman_store_known_keys", "gauge", "Keys that are known without asking it")
SPEND_WAITING: Final = MetricFact("pointsman_spend_events_waiting", "gauge", "Events that wait for it in memory")
SPEND_FOLDED: Final = MetricFact(
    "pointsman_spend_events_folded_total", "counter", "Events that were added up because too many waited"
)
SPEND_LOST: Final = MetricFact("pointsman_spend_events_lost_total", "counter", "Events that are counted nowhere")
CONTENT_DROPS: Final = MetricFact(
    "pointsman_spend_contents_dropped_total", "counter", "Prompts and answers of events that found no room"
)
KEY_LEFT: Final = MetricFact("litellm_remaining_api_key_budget_metric", "gauge", "US dollars that a key has left", _KEY)
KEY_MOST: Final = MetricFact("litellm_api_key_max_budget_metric", "gauge", "US dollars that a key may spend", _KEY)
TEAM_LEFT: Final = MetricFact("litellm_remaining_team_budget_metric", "gauge", "US dollars that a team has left", _TEAM)
TEAM_MOST: Final = MetricFact("litellm_team_max_budget_metric", "gauge", "US dollars that a team may spend", _TEAM)

STORED: Final = (
    STORE_UP,
    KEYS_KNOWN,
    SPEND_WAITING,
    SPEND_FOLDED,
    SPEND_LOST,
    CONTENT_DROPS,
    KEY_LEFT,
    KEY_MOST,
    TEAM_LEFT,
    TEAM_MOST,
)


class BudgetCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of the budget of a key or a team, in US dollars."""

    labels: tuple[str, ...]
    """The hash of a key and its alias, or a team."""
    left: float
    most: float
    is_of_team: bool = False


class StoreCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The store of a process, and what waits for it."""

    is_up: bool
    keys: int = 0
    waiting: int = 0
    folded: int = 0
    lost: int = 0
    contents_dropped: int = 0
    budgets: tuple[BudgetCounts, ...] = ()


def stored(counts: StoreCounts) -> Iterator[Metric]:
    """For a scrape."""
    for fact, value in (
        (STORE_UP, counts.is_up),
        (KEYS_KNOWN, counts.keys),
        (SPEND_WAITING, counts.waiting),
        (SPEND_FOLDED, counts.folded),
        (SPEND_LOST, counts.lost),
        (CONTENT_DROPS, counts.contents_dropped),
    ):
        yield single(fact, value)
    yield from _budgets([one for one in counts.budgets if not one.is_of_team], KEY_LEFT, KEY_MOST)
    yield from _budgets([one for one in counts.budgets if one.is_of_team], TEAM_LEFT, TEAM_MOST)


def _budgets(budgets: Iterable[BudgetCounts], left: MetricFact, most: MetricFact) -> Iterator[Metric]:
    lefts, mosts = gauge(left), gauge(most)
    for one in budgets:
        lefts.add_metric(list(one.labels), one.left)
        mosts.add_metric(list(one.labels), one.most)
    yield from (lefts, mosts)
