from __future__ import annotations

from pointsman.telemetry.facts import MetricFact, counter, gauge, single


def test_a_counter_and_a_gauge_are_shown_under_the_name_that_is_documented() -> None:
    family = counter(MetricFact("things_total", "counter", "Things", ("kind",)))
    family.add_metric(["a"], 2)
    assert [(one.name, one.labels, one.value) for one in family.samples] == [("things_total", {"kind": "a"}, 2)]
    state = gauge(MetricFact("state", "gauge", "State"))
    state.add_metric([], 1)
    assert [(one.name, one.value) for one in state.samples] == [("state", 1)]


def test_a_single_value_is_shown_as_the_kind_that_is_documented() -> None:
    things = single(MetricFact("things_total", "counter", "Things"), 3)
    assert (things.type, [(one.name, one.value) for one in things.samples]) == ("counter", [("things_total", 3)])
    state = single(MetricFact("state", "gauge", "State"), 0.5)
    assert (state.type, [(one.name, one.value) for one in state.samples]) == ("gauge", [("state", 0.5)])
