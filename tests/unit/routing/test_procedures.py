from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.routing.procedures.playbook import POOL, question

from pointsman.routing.procedures import PROCEDURES
from pointsman.routing.procedures.base import Ending, Reply, Route
from pointsman.routing.procedures.settings import ProcedureSettings
from pointsman.routing.registry import LEARNED
from pointsman.wire.chat import Answer, Choice, Refusal, Text, Thinking, ToolCall

WORDS = (
    *("<search>", "</search>", "<answer>", "</answer>", "<think>", "</think>", "cheap:", "best :", " ", "{", "}", "\n"),
    *('{"sub_queries":[', '{"query":"a","model":"cheap"}', ",", "]}", "Verdict: correct", "incorrect", "x"),
)
MOST_STEPS = 16
texts = st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=4)), max_size=10).map("".join)
arguments = st.one_of(texts, st.just('{"model":"cheap","query":"q"}'))
parts = st.one_of(
    st.builds(Text, texts),
    st.builds(Thinking, texts),
    st.builds(Refusal, texts),
    st.builds(ToolCall, id=st.just("c"), name=st.sampled_from(["ask_model", "other"]), arguments=arguments),
)
choices = st.builds(Choice, parts=st.lists(parts, max_size=3), finish=st.sampled_from(["stop", "length", "refusal"]))
answers = st.one_of(
    st.none(), st.builds(Answer, dialect=st.just("openai"), choices=st.lists(choices, min_size=1, max_size=1))
)


def test_each_is_a_strategy_that_can_be_configured() -> None:
    assert set(PROCEDURES) <= set(LEARNED)


@pytest.mark.parametrize("name", PROCEDURES)
@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.data(), asked=texts)
def test_whatever_models_say_it_ends_soon_and_with_a_candidate(name: str, data: st.DataObject, asked: str) -> None:
    steps = PROCEDURES[name](question(asked), POOL, ProcedureSettings(strategy=name))
    ending: Ending | None = None
    count = 0
    try:
        step = next(steps)
        while count < MOST_STEPS:
            count += 1
            if isinstance(step, Route):
                step = steps.send([data.draw(st.sampled_from(["cheap", "best"])) for _ in step.texts])
            else:
                step = steps.send([Reply(ask=ask, answer=data.draw(answers)) for ask in step.asks])
    except StopIteration as end:
        ending = end.value

    assert ending is not None
    assert ending.candidate in {one.name for one in POOL}
