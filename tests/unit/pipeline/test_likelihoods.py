from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

import msgspec
import numpy as np
import pytest

from pointsman.errors import GatewayError
from pointsman.ml.estimators.causal import USUAL_BELIEF
from pointsman.ml.localmodel import LocalModel, NoLocalModel
from pointsman.pipeline.likelihoods import (
    DEADLINE,
    LETTERS,
    MAX_EVIDENCE,
    MAX_KEPT,
    ChatModel,
    InProcess,
    Likelihoods,
    evidence_of,
    likelihoods,
)
from pointsman.providers.base import Price
from pointsman.routing.settings import RoutedSettings
from pointsman.routing.strategies.learned import Lineup, candidate_of

Make = Callable[..., Any]
DESCRIBED = (("small", "Quick."), ("large", ""))


def tops(**likely: float) -> list[dict[str, Any]]:
    listed = [{"token": token, "logprob": value, "bytes": None} for token, value in likely.items()]
    return [{**listed[0], "top_logprobs": listed}]


def said(**likely: float) -> bytes:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "A"},
        "finish_reason": "length",
        "logprobs": {"content": tops(**likely), "refusal": None},
    }
    return msgspec.json.encode({"id": "c", "model": "up", "choices": [choice]})


def free(cost: Decimal) -> None:
    """Nobody asks what it has cost."""


def asker(rig: Any, described: tuple[tuple[str, str], ...] = DESCRIBED, **more: Any) -> Likelihoods:
    oracle = ChatModel(rig.pipeline, "house", more.get("deadline", DEADLINE))
    return Likelihoods(oracle, described, rig.clock, **more)


@pytest.mark.requirement("routing.procedures.causallm")
async def test_a_prompt_speaks_for_the_candidate_whose_letter_it_makes_likelier(rig: Any) -> None:
    rig.upstream.once(said(A=-1.0, B=-2.0))
    rig.upstream.once(said(A=-2.0, B=-1.0))
    found = await asker(rig).evidence("Prove it.", free)

    # Without a prompt A is likelier by 1, with it less likely by 1: B is spoken for by 2.
    assert found is not None
    assert found.tolist() == [[-1.0, 1.0]]
    without, asked = (sent.json for sent in rig.upstream.sent)
    assert asked["logprobs"] is True
    assert asked["top_logprobs"] == 20
    assert asked["max_tokens"] == 1
    assert "A. small: Quick.\nB. large" in asked["messages"][0]["content"]
    assert "Prove it." in asked["messages"][1]["content"]
    assert "(none)" in without["messages"][1]["content"]


async def test_the_same_prompt_is_asked_once_and_what_is_said_without_one_is_asked_once_for_all(rig: Any) -> None:
    rig.upstream.script(said(A=-1.0, B=-2.0))
    likely = asker(rig)
    for text in ("one", "one", "two", "one"):
        assert await likely.evidence(text, free) is not None

    assert len(rig.upstream.sent) == 3


@pytest.mark.requirement("routing.procedures.causallm")
async def test_what_is_asked_is_charged_to_whom_it_is_asked_for(rig: Any) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}
    rig.upstream.script(msgspec.json.encode({**msgspec.json.decode(said(A=-1.0, B=-2.0)), "usage": usage}))
    likely, spent = asker(rig), list[Decimal]()
    for text in ("one", "one", "two"):
        await likely.evidence(text, spent.append)

    assert spent == [Decimal("0.012")] * 3


async def test_requests_with_the_same_prompt_at_the_same_time_ask_once(rig: Any) -> None:
    rig.upstream.script(said(A=-1.0, B=-2.0), is_held=True)
    likely = asker(rig, deadline=60.0)
    waiting = [asyncio.ensure_future(likely.evidence("same", free)) for _ in range(3)]
    await rig.turns()
    rig.upstream.go.set()
    found = await asyncio.gather(*waiting)

    assert [one is not None for one in found] == [True] * 3
    # Once without a prompt, once with it.
    assert len(rig.upstream.sent) == 2


async def test_when_whoever_asked_for_all_leaves_the_others_go_on_without(rig: Any) -> None:
    rig.upstream.script(said(A=-1.0, B=-2.0), is_held=True)
    likely = asker(rig, deadline=60.0)
    first, second = (asyncio.ensure_future(likely.evidence("same", free)) for _ in range(2))
    await rig.turns()
    first.cancel()
    assert await second is None


async def test_what_is_kept_is_bounded(rig: Any) -> None:
    likely = asker(rig)
    for count in range(MAX_KEPT + 5):
        likely._keep(b"%d" % count, np.zeros((1, 2), np.float32))

    assert len(likely._kept) == MAX_KEPT
    assert b"4" not in likely._kept


async def test_how_far_it_is_believed_can_be_set_and_how_sure_it_may_be_is_bounded(rig: Any) -> None:
    rig.upstream.once(said(A=-1.0, B=-1.0))
    rig.upstream.once(said(A=-0.1, B=-90.0))
    found = await asker(rig, belief=2 * USUAL_BELIEF).evidence("Prove it.", free)

    assert found is not None
    assert found.tolist() == [[2 * MAX_EVIDENCE, -2 * MAX_EVIDENCE]]


@pytest.mark.requirement("routing.procedures.causallm")
async def test_nobody_waits_for_it_longer_than_is_set(rig: Any) -> None:
    rig.upstream.script(said(A=-1.0, B=-2.0), is_held=True)

    assert await asker(rig, deadline=0.0).evidence("Prove it.", free) is None
    assert rig.busy == 0


@pytest.mark.requirement("routing.procedures.causallm")
async def test_a_model_that_fails_again_and_again_is_left_alone_for_a_while(rig: Any) -> None:
    rig.upstream.script(b'{"error":{"message":"no logprobs here"}}', status=400)
    likely = asker(rig)
    for _ in range(10):
        assert await likely.evidence("Prove it.", free) is None
    assert len(rig.upstream.sent) == 3
    assert likely.failed_total == 3

    rig.clock.now += 31
    rig.upstream.script(said(A=-1.0, B=-2.0))
    assert await likely.evidence("Prove it.", free) is not None


async def test_who_leaves_while_it_is_asked_cancels_it(rig: Any) -> None:
    rig.upstream.script(said(A=-1.0, B=-2.0), is_held=True)
    task = asyncio.create_task(asker(rig).evidence("Prove it.", free))
    await rig.turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert rig.upstream.calls == ["cancel"]
    assert rig.busy == 0


class Local:
    """A model in this process that likes the letter in capitals after the first one."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def likelihoods(self, instruction: str, asked: str, words: str) -> Any:
        self.asked.append(asked)
        return np.array([[-1.0 if word == "B" and "(none)" not in asked else -2.0 for word in words]], np.float32)


async def test_a_model_in_this_process_is_loaded_once_and_asked_in_the_same_way() -> None:
    made: list[Local] = []

    def load() -> LocalModel:
        made.append(Local())
        return cast("LocalModel", made[0])

    likely = Likelihoods(InProcess(load), (*DESCRIBED, *[("other", "")] * 30), lambda: 0.0, deadline=10)
    for text in ("one", "two"):
        found = await likely.evidence(text, free)
        assert found is not None
        assert found.shape == (1, 32)
        assert found[0].argmax() == 1
        assert (found[0, 20:] == 0).all()

    assert len(made) == 1
    assert len(made[0].asked) == 3


async def test_a_model_in_this_process_answers_one_question_at_a_time_also_when_who_asked_has_left() -> None:
    local, go = Local(), threading.Event()
    at_once: list[int] = []
    busy: list[str] = []

    class Slow(Local):
        def likelihoods(self, instruction: str, asked: str, words: str) -> Any:
            busy.append(asked)
            at_once.append(len(busy))
            go.wait(20)
            busy.remove(asked)
            return local.likelihoods(instruction, asked, words)

    oracle = InProcess(lambda: cast("LocalModel", Slow()))
    left = asyncio.create_task(oracle.likelihoods("i", "first", 2, free))
    while not busy:
        await asyncio.sleep(0)
    left.cancel()
    others = [asyncio.create_task(oracle.likelihoods("i", text, 2, free)) for text in ("second", "third")]
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*others)

    assert local.asked[0] == "first"
    assert sorted(local.asked[1:]) == ["second", "third"]
    assert at_once == [1, 1, 1]


async def test_a_model_that_is_not_there_is_no_evidence() -> None:
    def load() -> LocalModel:
        raise NoLocalModel("a local model needs transformers", "pip install it")

    likely = Likelihoods(InProcess(load), DESCRIBED, lambda: 0.0, deadline=10)

    assert await likely.evidence("Prove it.", free) is None
    assert likely.failed_total == 1


def test_a_letter_is_known_in_each_of_its_spellings() -> None:
    found = likelihoods(tops(**{"A": -1.0, " A": -1.0, "b": -3.0, "The": -0.1}), 2)

    assert found[0].tolist() == pytest.approx([-1.0 + math.log(2), -3.0])


def test_a_letter_that_is_not_listed_is_as_likely_as_the_last_one_that_is() -> None:
    assert likelihoods(tops(A=-1.0, The=-4.0), 3)[0].tolist() == [-1.0, -4.0, -4.0]


def test_probabilities_that_are_none_are_no_trouble() -> None:
    for high, low in ((3.0, -9999.0), (math.inf, -math.inf), (3e38, -3e38)):
        assert np.isfinite(likelihoods(tops(A=high, B=low), 3)).all()


def test_candidates_without_a_letter_are_not_spoken_of() -> None:
    found = likelihoods(tops(A=-1.0, B=-2.0), len(LETTERS) + 2)

    assert np.isnan(found[0, -2:]).all()
    assert np.isfinite(found[0, : len(LETTERS)]).all()


@pytest.mark.parametrize("entries", [None, [], [{"token": "A"}], [{}], tops(The=-1.0)])
def test_without_a_letter_there_is_nothing_to_go_by(entries: Any) -> None:
    with pytest.raises(GatewayError):
        likelihoods(entries, 2)


def test_what_is_listed_leaves_only_so_much_for_a_letter_that_is_not() -> None:
    found = likelihoods([{"token": "B", "logprob": math.log(0.9)}], 2)

    assert found[0].tolist() == pytest.approx([math.log(0.1), math.log(0.9)])


def test_only_the_strategy_of_that_name_asks_and_only_whom_it_is_given(rig: Any, deployment: Make) -> None:
    members = rig.groups.match("house").group.members
    lineup = Lineup([candidate_of("house", members, None, (), lambda _: Price())])

    def made(strategy: str, **options: Any) -> Likelihoods | None:
        return evidence_of(RoutedSettings(name="auto", strategy=strategy, options=options), lineup, rig.pipeline)

    assert made("knn", controller="house") is None
    assert made("causallm") is None
    assert isinstance(made("causallm", controller="local:org/small"), Likelihoods)
    assert made("causallm", controller="house", deadline=0.5, descriptions={"house": "Fine."}) is not None
