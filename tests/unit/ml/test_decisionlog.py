from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from pointsman.ml.decisionlog import (
    Decided,
    Entry,
    Rated,
    Settled,
    Signalled,
    halves,
    line,
    logged,
    numbers,
    read,
    summary,
)
from pointsman.ml.evaluation.offpolicy import CannotEstimate


def decided(request_id: str = "r1", **changed: Any) -> Decided:
    fields: dict[str, Any] = {
        "id": request_id,
        "time": 1.0,
        "model": "auto",
        "strategy": "knn",
        "version": "0123",
        "candidates": ["dear", "small"],
        "quality": [0.9, 0.5],
        "cost_usd": [0.01, 0.001],
        "chosen": 1,
        "first": 0,
        "baseline": 0,
        "propensity": 0.1,
        "reason": "exploration",
        "price": 10.0,
        "embedder": "hashed-1",
        "embedding": halves(np.array([0.5, -0.25])),
        "surface": halves(np.array([1.0])),
    }
    return Decided(**(fields | changed))


EVENTS = (
    decided(),
    Settled(id="r1", time=2.0, status=200, served="small", cost_usd=0.002, completion_tokens=7, signals=["truncated"]),
    Signalled(id="r1", time=3.0, signal="regenerated"),
    Rated(id="r1", time=4.0, score=0.3),
    Rated(id="r1", time=5.0, score=0.8),
)


@pytest.mark.requirement("routing.log.format")
def test_a_line_is_a_json_object_that_says_its_kind() -> None:
    said = msgspec.json.decode(line(EVENTS[0]))
    assert (said["kind"], said["id"], said["chosen"], said["propensity"]) == ("decision", "r1", 1, 0.1)
    assert "prompt" not in said
    assert line(EVENTS[3]) == b'{"kind":"feedback","id":"r1","time":4.0,"score":0.3}\n'
    assert all(line(event).endswith(b"}\n") for event in EVENTS)


@pytest.mark.requirement("routing.log.format")
def test_events_of_one_request_are_put_together() -> None:
    (entry,), lost = read(map(line, EVENTS))
    assert lost == 0
    assert entry.decided == EVENTS[0]
    assert (entry.served, entry.signals, entry.score) == ("small", ["truncated", "regenerated"], 0.8)
    np.testing.assert_array_equal(entry.features.embedding, [[0.5, -0.25]])
    np.testing.assert_array_equal(entry.features.surface, [[1.0]])


def test_the_reward_is_the_last_rating_less_what_was_paid() -> None:
    (entry,), _ = read(map(line, EVENTS))
    assert entry.reward(10.0) == pytest.approx(0.8 - 10 * 0.002)
    assert entry.reward(0.0) == 0.8
    (unpaid,), _ = read(map(line, (decided(), EVENTS[4])))
    assert unpaid.reward(10.0) == pytest.approx(0.8 - 10 * 0.001)
    (unrated,), _ = read([line(decided())])
    assert unrated.reward(10.0) is None


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b"\xff\n",
        b"[]",
        b'{"kind":"other","id":"r1","time":1}',
        b'{"id":"r1"}',
        line(Rated(id="unknown", time=1.0, score=1.0)),
        line(decided("r2", propensity=0.0)),
        line(decided("r2", chosen=2)),
        line(decided("r2", quality=[0.1])),
        line(decided("r2", shadow="nobody")),
        line(decided("r2", embedding=b"\x00\x7c")),
        line(decided("r2", surface=b"\x00\x7e")),
        b"[" * 10_000,
    ],
)
def test_lines_that_cannot_be_read_are_counted_and_passed_over(bad: bytes) -> None:
    entries, lost = read([bad, *map(line, EVENTS), b"\n"])
    assert (len(entries), lost) == (1, 1)


def test_fields_of_later_versions_are_passed_over() -> None:
    more = line(EVENTS[0]).replace(b'"kind"', b'"later":[1],"kind"')
    assert len(read([more])[0]) == 1


def test_ratings_beyond_the_scale_are_none() -> None:
    (entry,), _ = read(map(line, (decided(), Rated(id="r1", time=2.0, score=7.0))))
    assert entry.score is None


def test_rated_requests_make_what_off_policy_estimates_need() -> None:
    events = [e for i in range(3) for e in (decided(f"r{i}", chosen=i % 2), Rated(id=f"r{i}", time=9.0, score=i / 2))]
    others = [
        decided("unrated"),
        decided("other", candidates=["x", "y"]),
        Rated(id="other", time=1.0, score=1.0),
        decided("fell over"),
        Settled(id="fell over", time=1.0, status=200, served="dear"),
        Rated(id="fell over", time=1.0, score=1.0),
    ]
    entries, _ = read(map(line, [*others, *events]))
    made, kept = logged(entries)
    assert made.models == ("dear", "small")
    assert [e.decided.id for e in kept] == ["r0", "r1", "r2"]
    np.testing.assert_array_equal(made.chosen, [0, 1, 0])
    np.testing.assert_allclose(made.reward, [0.0 - 0.1, 0.5 - 0.01, 1.0 - 0.1])
    np.testing.assert_array_equal(made.inputs, [[0.5, -0.25, 1.0]] * 3)


def rated(count: int, first: int = 0, **changed: Any) -> list[Entry]:
    """So many requests with a rating of 1 that cost half a cent."""
    ids = [f"{first + i}" for i in range(count)]
    events = [decided(i, **changed) for i in ids] + [Rated(id=i, time=9.0, score=1.0) for i in ids]
    return read(map(line, events))[0]


@pytest.mark.requirement("routing.evaluation.logs")
def test_the_model_and_the_candidates_with_most_ratings_are_taken_or_the_model_that_is_named() -> None:
    entries = [*rated(5, model="main"), *rated(3, model="main", candidates=["x", "y"]), *rated(2, model="side")]
    assert [e.decided.model for e in logged(entries)[1]] == ["main"] * 5
    assert [e.decided.model for e in logged(entries, model="side")[1]] == ["side"] * 2
    with pytest.raises(CannotEstimate, match="'nobody'"):
        logged(entries, model="nobody")


@pytest.mark.requirement("routing.evaluation.logs")
@pytest.mark.parametrize("usual", [{"usual_price": 10.0}, {}], ids=["said", "guessed"])
def test_what_a_request_wishes_for_itself_is_no_price_that_rewards_are_compared_at(usual: dict[str, Any]) -> None:
    entries = [*rated(5, price=50_000.0, **usual), *rated(95, first=5, price=10.0, **usual)]
    assert logged(entries)[0].reward == pytest.approx([1.0 - 10.0 * 0.001] * 100)
    assert logged(entries, price=0.0)[0].reward == pytest.approx([1.0] * 100)


@pytest.mark.requirement("routing.evaluation.logs")
def test_what_is_in_force_is_not_the_checkpoint_on_trial() -> None:
    (alone,) = rated(1, first=0)
    (shadowed,) = rated(1, shadow="small")
    (on_trial,) = rated(1, first=0, shadow="dear", is_trial=True, chosen=1)
    assert [entry.in_force for entry in (alone, shadowed, on_trial)] == [0, 0, 0]
    (other,) = read([line(decided(first=1, chosen=1, shadow="dear", is_trial=True))])[0]
    assert other.in_force == 0


def test_a_log_without_ratings_says_how_to_get_some() -> None:
    with pytest.raises(CannotEstimate, match="/router/feedback"):
        logged(read([line(decided())])[0])


def test_what_is_no_number_is_logged_as_none() -> None:
    assert numbers(np.array([0.5, np.nan, np.inf])) == [0.5, None, None]
    assert np.frombuffer(halves(np.array([np.nan, 1.0, 1e9])), "<f2").tolist() == [0.0, 1.0, 65504.0]


def test_a_summary_counts() -> None:
    entries, _ = read(map(line, EVENTS))
    assert summary(entries) == {"decisions": 1, "answers": 1, "ratings": 1, "explored": 1}
