from __future__ import annotations

import pytest
from unit.routing.procedures.playbook import POOL, play, question

from pointsman.routing.procedures.base import Plan, Route, text_of
from pointsman.routing.procedures.multiround import described, knn_multiround, llm_multiround, read_parts
from pointsman.routing.procedures.settings import ProcedureSettings
from pointsman.wire.chat import Tool

KNN = ProcedureSettings(strategy="knn-multiround")
LLM = ProcedureSettings(strategy="llm-multiround", controller="middle")
PARTS = '{"sub_queries": [{"query": "Why is the sky blue?"}, {"query": "Why is the sea blue?"}]}'
CHOSEN = (
    'Here: {"sub_queries": [{"query": "Why is the sky: blue?", "model": "cheap"}, {"query": "The sea?", "model": "x"}]}'
)


@pytest.mark.requirement("routing.procedures.knn-multiround")
def test_parts_go_to_whom_was_learnt_and_the_whole_is_put_together() -> None:
    played = play(knn_multiround(question(), POOL, KNN), [PARTS], ["cheap", "best"], ["Scattering.", "Absorption."])

    assert played.asked(0) == [("best", "decompose")]
    assert played.steps[1] == Route(["Why is the sky blue?", "Why is the sea blue?"])
    assert played.asked(2) == [("cheap", "sub-query"), ("best", "sub-query")]
    assert isinstance(played.ending, Plan)
    assert played.ending.candidate == "best"
    said = text_of(played.ending.request.turns[-1].parts)
    assert said.startswith("Why is the sky blue, and the sea?\n[Notes")
    assert said.endswith(
        "Question: Why is the sky blue?\nAnswer: Scattering.\n\nQuestion: Why is the sea blue?\nAnswer: Absorption."
    )


@pytest.mark.requirement("routing.procedures.llm-multiround")
def test_the_controller_chooses_and_whom_it_makes_up_the_best_one_stands_for() -> None:
    played = play(llm_multiround(question(), POOL, LLM), [CHOSEN], ["Scattering.", "Absorption."])

    assert played.asked(0) == [("middle", "decompose")]
    assert played.asked(1) == [("cheap", "sub-query"), ("best", "sub-query")]
    assert text_of(played.asks(1)[0].request.turns[-1].parts) == "Why is the sky: blue?"
    assert isinstance(played.ending, Plan)
    assert played.ending.candidate == "middle"


def test_the_controller_is_told_of_the_models_and_of_the_form() -> None:
    played = play(llm_multiround(question(), POOL, LLM), [""])

    request = played.asks(0)[0].request
    assert "- cheap: Quick. (about $0.001 a request)" in text_of(request.turns[0].parts)
    assert request.format is not None
    assert request.format.schema is not None
    part = request.format.schema["properties"]["sub_queries"]["items"]
    assert part["properties"]["model"]["enum"] == ["best", "middle", "cheap"]
    assert part["required"] == ["query", "model"]


def test_where_models_are_learnt_the_controller_names_none() -> None:
    request = play(knn_multiround(question(), POOL, KNN), [""], ["cheap"]).asks(0)[0].request

    assert request.format is not None
    assert request.format.schema is not None
    assert list(request.format.schema["properties"]["sub_queries"]["items"]["properties"]) == ["query"]
    assert "cheap" not in text_of(request.turns[0].parts)


@pytest.mark.parametrize(
    "said", [None, "", "no JSON", '{"sub_queries": []}', '{"sub_queries": [{"query": "All of it?"}]}', "{]}", "[" * 99]
)
def test_a_question_that_is_not_taken_apart_is_answered_in_one_shot(said: str | None) -> None:
    learnt = play(knn_multiround(question(), POOL, KNN), [said], ["cheap"])
    chosen = play(llm_multiround(question(), POOL, LLM), [said])

    assert learnt.steps[1] == Route(["Why is the sky blue, and the sea?"])
    assert learnt.ending == Plan("cheap", question())
    assert chosen.ending == Plan("best", question())


def test_what_brings_tools_is_answered_in_one_shot_at_once() -> None:
    asked = question(tools=[Tool(name="t")])

    assert play(knn_multiround(asked, POOL, KNN), ["middle"]).ending == Plan("middle", asked)
    assert play(llm_multiround(asked, POOL, LLM)).ending == Plan("best", asked)


def test_parts_without_an_answer_are_left_out_and_without_any_the_best_one_is_asked() -> None:
    some = play(llm_multiround(question(), POOL, LLM), [CHOSEN], [None, "Absorption."])
    none = play(llm_multiround(question(), POOL, LLM), [CHOSEN], [None, ""])

    assert isinstance(some.ending, Plan)
    assert "Scattering" not in text_of(some.ending.request.turns[-1].parts)
    assert none.ending == Plan("best", question())


def test_there_are_never_more_parts_than_allowed() -> None:
    many = '{"sub_queries": [' + ",".join(f'{{"query": "q{i}"}}' for i in range(20)) + "]}"
    settings = ProcedureSettings(strategy="llm-multiround", max_sub_queries=3)

    played = play(llm_multiround(question(), POOL, settings), [many], ["a", "b", "c"])

    assert [text_of(ask.request.turns[-1].parts) for ask in played.asks(1)] == ["q0", "q1", "q2"]


def test_the_last_call_keeps_what_the_client_has_asked_for() -> None:
    asked = question(max_tokens=9, temperature=0.3, stop=["x"])

    ending = play(llm_multiround(asked, POOL, LLM), [CHOSEN], ["a", "b"]).ending

    assert isinstance(ending, Plan)
    assert (ending.request.max_tokens, ending.request.temperature, ending.request.stop) == (9, 0.3, ["x"])


def test_double_and_empty_parts_count_once_and_not_at_all() -> None:
    parts = read_parts('{"sub_queries": [{"query": "a"}, {"query": " a "}, {"query": " "}, {"query": "b"}]}')

    assert [part.query.strip() for part in parts] == ["a", "b"]


def test_a_candidate_is_described_by_what_is_known_of_it() -> None:
    assert described(POOL).splitlines() == [
        "- best: Knows most. (about $0.02 a request)",
        "- middle (about $0.004 a request)",
        "- cheap: Quick. (about $0.001 a request)",
    ]
