from __future__ import annotations

import pytest
from unit.routing.procedures.playbook import BEST, CHEAP, POOL, Played, answer, play, question

from pointsman.routing.procedures.base import Answer, Ask, Plan, Reply
from pointsman.routing.procedures.cascade import cascade, judged_question, ladder_of, verdict_of
from pointsman.routing.procedures.settings import Ladder, ProcedureSettings
from pointsman.wire.chat import ChatRequest, Image, Text, Turn

THREE = ProcedureSettings(strategy="automix", samples=3)
YES, NO = "It fits.\nVerdict: correct", "A part is missing.\nVerdict: incorrect"


def cascaded(*script: list[object], settings: ProcedureSettings = THREE) -> Played:
    return play(cascade(question(), POOL, settings), *script)


@pytest.mark.requirement("routing.procedures.automix")
def test_a_cheap_answer_that_is_found_right_is_kept() -> None:
    played = cascaded(["Because of scattering."], [YES, YES, NO])

    assert played.asked(0) == [("cheap", "answer")]
    assert played.asked(1) == [("cheap", "verify")] * 3
    assert isinstance(played.ending, Answer)
    assert played.ending.candidate == "cheap"


@pytest.mark.requirement("routing.procedures.automix")
def test_one_that_is_doubted_is_left_for_the_best_candidate_and_kept_in_reserve() -> None:
    played = cascaded(["Because."], [YES, NO, NO])

    assert isinstance(played.ending, Plan)
    assert played.ending.candidate == "best"
    assert played.ending.request == question()
    assert played.ending.otherwise is not None
    assert played.ending.otherwise.candidate == "cheap"


def test_the_verifier_sees_the_question_and_the_answer_after_its_examples() -> None:
    played = cascaded(["Because of scattering."], [YES, YES, YES])

    request = played.asks(1)[0].request
    assert [turn.role for turn in request.turns] == ["system", "user", "assistant", "user", "assistant", "user"]
    said = request.turns[-1].parts[0]
    assert said.text == (  # type: ignore[union-attr]
        "Question:\nWhy is the sky blue, and the sea?\n\nProposed answer:\nBecause of scattering."
    )
    assert played.asks(1)[0].is_own
    assert not played.asks(0)[0].is_own


def test_the_verifier_knows_the_instructions_and_of_pictures() -> None:
    picture = Image(url="https://example.test/a.png")
    asked = ChatRequest(
        dialect="openai",
        turns=[
            Turn("system", [Text("Answer in French." + "x" * 10_000)]),
            Turn("user", [Text("What is in it?"), picture]),
        ],
    )
    told = judged_question(asked)

    assert told.startswith("(Instructions for whoever answers:\nAnswer in French.")
    assert "\n\nWhat is in it?" in told
    assert told.endswith("(Pictures or files that you cannot see are part of the question.)")
    assert len(told) < 5_000


def test_another_verifier_is_asked_where_one_is_set() -> None:
    settings = ProcedureSettings(strategy="automix", samples=1, verifier="middle")

    assert cascaded(["Because."], [YES], settings=settings).asked(1) == [("middle", "verify")]


@pytest.mark.parametrize("failed", [None, answer(""), answer("I will not.", finish="refusal")])
def test_what_is_no_answer_is_not_judged(failed: object) -> None:
    played = cascaded([failed])

    assert len(played.steps) == 1
    assert played.ending == Plan("best", question())


@pytest.mark.parametrize("judgements", [[None, None, None], ["Hm.", "", "Who knows"]])
def test_without_a_judgement_the_best_candidate_is_asked(judgements: list[object]) -> None:
    played = cascaded(["Because."], judgements)

    assert isinstance(played.ending, Plan)
    assert played.ending.candidate == "best"


def test_judgements_that_did_not_come_do_not_count() -> None:
    assert isinstance(cascaded(["Because."], [YES, None, None]).ending, Answer)


def test_what_is_hopeless_is_not_worth_more() -> None:
    settings = ProcedureSettings(strategy="automix", samples=4, threshold=0.9, hopeless=0.2)

    assert isinstance(cascaded(["So."], [NO, NO, NO, NO], settings=settings).ending, Answer)
    assert isinstance(cascaded(["So."], [YES, NO, NO, NO], settings=settings).ending, Plan)


def test_tiers_are_climbed_one_by_one_as_the_table_says() -> None:
    # Very unsure of the cheap answer: straight to the best; else to the middle.
    ladder = Ladder(tiers=("cheap", "middle", "best"), steps=((2, 1, 1, 0), (2, 1)))
    settings = ProcedureSettings(strategy="automix", samples=2, ladder=ladder)

    straight = cascaded(["So."], [NO, NO], settings=settings)
    assert isinstance(straight.ending, Plan)
    assert straight.ending.candidate == "best"
    climbed = cascaded(["So."], [YES, NO], ["Because."], [YES, YES], settings=settings)
    assert climbed.asked(2) == [("middle", "answer")]
    assert climbed.asked(3) == [("middle", "verify")] * 2
    assert isinstance(climbed.ending, Answer)
    assert climbed.ending.candidate == "middle"


def test_the_tiers_are_the_cheapest_and_the_best_unless_others_are_named() -> None:
    named = ProcedureSettings(strategy="automix", tiers=("cheap", "gone", "middle", "best"))

    assert ladder_of(POOL, THREE).tiers == ("cheap", "best")
    assert ladder_of(POOL, named).tiers == ("cheap", "middle", "best")
    assert ladder_of([CHEAP], THREE).tiers == ("cheap",)


def test_a_table_for_candidates_that_are_not_open_is_not_used() -> None:
    ladder = Ladder(tiers=("cheap", "best"), steps=((0,),))
    settings = ProcedureSettings(strategy="automix", ladder=ladder)

    assert ladder_of(POOL, settings) is ladder
    assert ladder_of([BEST], settings).tiers == ("best",)


@pytest.mark.requirement("routing.procedures.knobs")
def test_what_a_request_wants_takes_the_place_of_what_is_configured_and_learnt() -> None:
    learnt = Ladder(tiers=("cheap", "middle", "best"), steps=((0,), (1,)))

    def wanted(quality: float) -> Ladder:
        return ladder_of(POOL, ProcedureSettings(strategy="automix", ladder=learnt, quality=quality))

    assert wanted(0.0) == Ladder(tiers=("cheap",), steps=())
    assert wanted(1.0) == Ladder(tiers=("best",), steps=())
    assert wanted(0.7).tiers == ("cheap", "middle", "best")
    assert [wanted(0.7).after(0, sure) for sure in (0.6, 0.7, 0.8)] == [1, 0, 0]
    one = Ladder(tiers=("middle",), steps=())
    settings = ProcedureSettings(strategy="automix", ladder=one, quality=1.0)
    assert ladder_of(POOL, settings).tiers == ("best",)
    unsaid = ProcedureSettings(strategy="automix", quality=0.5)
    assert ladder_of(POOL, unsaid).tiers == ("cheap", "best")


def test_one_candidate_is_just_asked() -> None:
    played = play(cascade(question(), [CHEAP], THREE))

    assert played.steps == []
    assert played.ending == Plan("cheap", question())


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (YES, True),
        (NO, False),
        ("**Verdict:** Correct.", True),
        ("It fits.\n\n__VERDICT: CORRECT!__\n", True),
        ('Verdict: "incorrect".', False),
        ("Verdict: correct? No.\nVerdict: incorrect", False),
        ("verdict - NOT correct", None),
        ("Verdict: NOT  correct", None),
        ("Verdict: partially correct", None),
        ("Verdict: not entirely correct", None),
        ("Verdict: cannot be correct", None),
        ("Verdict: correct?", None),
        ("Verdict: correct, except for the date", None),
        ("Verdict: correct\nBut the date is wrong.", None),
        ("The correct answer is 7", None),
        ("At first it seems incorrect. It is correct.", None),
        ("It is correct", None),
        ("Incorrect", None),
        ("The correctness is unclear", None),
        ("", None),
    ],
)
@pytest.mark.requirement("routing.procedures.automix")
def test_only_a_last_line_that_is_a_verdict_counts(text: str, verdict: bool | None) -> None:
    reply = Reply(ask=Ask(candidate="c", request=question(), purpose="verify"), answer=answer(text))

    assert verdict_of(reply) is verdict


def test_a_judgement_that_was_cut_off_before_its_verdict_is_none() -> None:
    cut = answer("Let me check whether the proposed answer is correct. The verdict: correct would", finish="length")

    assert verdict_of(Reply(ask=Ask(candidate="c", request=question(), purpose="verify"), answer=cut)) is None
