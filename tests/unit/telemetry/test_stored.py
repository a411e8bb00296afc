from __future__ import annotations

from pointsman.telemetry.stored import STORED, BudgetCounts, StoreCounts, stored

KEY = BudgetCounts(labels=("0abc", "mine"), left=0.5, most=1.0)
TEAM = BudgetCounts(labels=("t1",), left=-0.25, most=2.0, is_of_team=True)


def test_every_number_of_a_store_is_told_under_its_name() -> None:
    counts = StoreCounts(is_up=True, keys=5, waiting=6, folded=7, lost=8, contents_dropped=9, budgets=(KEY, TEAM))
    found = [
        (sample.name, tuple(sample.labels.values()), sample.value) for one in stored(counts) for sample in one.samples
    ]
    assert found == [
        ("pointsman_store_up", (), 1),
        ("pointsman_store_known_keys", (), 5),
        ("pointsman_spend_events_waiting", (), 6),
        ("pointsman_spend_events_folded_total", (), 7),
        ("pointsman_spend_events_lost_total", (), 8),
        ("pointsman_spend_contents_dropped_total", (), 9),
        ("litellm_remaining_api_key_budget_metric", ("0abc", "mine"), 0.5),
        ("litellm_api_key_max_budget_metric", ("0abc", "mine"), 1.0),
        ("litellm_remaining_team_budget_metric", ("t1",), -0.25),
        ("litellm_team_max_budget_metric", ("t1",), 2.0),
    ]
    assert [fact.name for fact in STORED] == [name for name, _, _ in found]
