from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pointsman.ml.decisionlog import AnyEvent, Decided, Rated, Settled, line
from pointsman.ml.training.formats import format_of, read
from pointsman.ml.training.gathering import BadData


def decided(number: int, prompt: str | None) -> Decided:
    return Decided(
        id=f"r{number}",
        time=float(number),
        model="auto",
        strategy="knn",
        version="abc",
        candidates=["large", "small"],
        quality=[0.8, None],
        cost_usd=[0.01, 0.001],
        chosen=0,
        first=0,
        baseline=0,
        propensity=1.0,
        reason="gain",
        price=0.0,
        prompt=prompt,
    )


def put(path: Path, *events: AnyEvent) -> Path:
    path.write_bytes(b"".join(map(line, events)))
    return path


@pytest.mark.requirement("routing.learned.formats")
def test_rated_requests_are_outcomes_of_whoever_answered(tmp_path: Path) -> None:
    path = put(
        tmp_path / "a.jsonl",
        decided(1, "Hi"),
        Settled(id="r1", time=2.0, status=200, served="small", cost_usd=0.002, prompt_tokens=3, completion_tokens=40),
        Rated(id="r1", time=3.0, score=0.5),
        decided(2, "Ho"),
    )
    assert format_of(path) == "decisions"
    found = read([path])
    assert (found.formats, found.table.models, found.table.prompts) == (
        ("decisions",),
        ("large", "small"),
        ["Hi", "Ho"],
    )
    np.testing.assert_allclose(found.table.quality, [[np.nan, 0.5], [np.nan, np.nan]])
    np.testing.assert_allclose(found.table.cost_usd, [[np.nan, 0.002], [np.nan, np.nan]])
    assert found.table.completion_tokens is not None
    assert found.table.completion_tokens[0, 1] == 40.0


def test_events_of_one_request_may_stand_in_two_files(tmp_path: Path) -> None:
    later = put(tmp_path / "b.jsonl", Rated(id="r1", time=3.0, score=1.0))
    first = put(tmp_path / "a.jsonl", decided(1, "Hi"))
    assert read([later, first]).table.quality.tolist() == [[1.0]]


def test_requests_without_prompts_are_left_out_and_counted(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", decided(1, "Hi"), decided(2, None), Rated(id="r1", time=3.0, score=1.0))
    with path.open("ab") as file:
        file.write(b"broken\n")
    notes = read([path]).notes
    assert notes[0] == "1 logged requests are left out, as their prompts are not kept"
    assert notes[1] == "1 lines of the log could not be read"


def test_a_log_that_keeps_no_prompts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"a\.jsonl: keeps no prompts: switch on log_prompts"):
        read([put(tmp_path / "a.jsonl", decided(1, None))])
