from __future__ import annotations

from typing import Any

import pytest
from unit.pipeline.routing import chat

from pointsman.errors import InvalidRequest
from pointsman.pipeline.question import Question, not_routable, question_of
from pointsman.pipeline.wants import NOTHING, Wants
from pointsman.routing.candidates import Facts
from pointsman.routing.groups import Match
from pointsman.routing.settings import RoutingSettings
from pointsman.wire import operations as op
from pointsman.wire.knobs import Knobs, NamedKnob
from pointsman.wire.needs import Needs


def _question(rig: Any, body: bytes, model: str = "house", want: Wants = NOTHING, **more: Any) -> Question:
    routing = more.pop("routing", RoutingSettings())
    shape = more.pop("shape", None)
    call = rig.call(more.pop("operation", op.CHAT), **more)
    return question_of(call, rig.groups.match("house"), model, want, body, shape, routing, 100.0)


def test_a_request_is_read_once_for_everybody(rig: Any) -> None:
    body = chat(("system", "Be brief."), ("user", "one two"), user="u1", metadata={"quality": 0.5})
    question = _question(rig, body, tenant="t")
    assert (question.text, question.user, question.request_id) == ("Be brief.\none two", "u1", "r1")
    assert (question.knobs, b"metadata" in question.body) == (Knobs(quality=0.5), False)
    assert question.facts == Facts(needs=Needs(tokens=4))
    assert question.request.turns[0].role == "system"
    assert (question.shape, question.now, question.trace) == (op.CHAT, 100.0, [])


def test_tags_matter_only_where_the_operator_has_said_so(rig: Any) -> None:
    want = Wants(tags=("eu",))
    assert _question(rig, chat(), want=want).facts.tags is None
    routing = RoutingSettings(has_tag_filtering=True, tags_match_any=False)
    facts = _question(rig, chat(), want=want, routing=routing).facts
    assert (facts.tags, facts.tags_match_any) == (("eu",), False)


def test_another_dialect_at_the_address_of_chat_is_read_as_its_own(rig: Any) -> None:
    question = _question(rig, b'{"model":"m","input":"Hi"}', shape=op.RESPONSES)
    assert (question.text, question.shape) == ("Hi", op.RESPONSES)


def test_a_session_is_the_callers_and_named_or_told_by_its_opening(rig: Any) -> None:
    named = _question(rig, chat(), headers={b"x-session-id": b"s"}, tenant="t")
    assert (named.session, named.is_continued) == (("id", "t", "s"), True)
    first = _question(rig, chat(("user", "Hello")))
    later = _question(rig, chat(("user", "Hello"), ("assistant", "Hi"), ("user", "More")))
    assert first.session == later.session
    assert (first.is_continued, later.is_continued) == (False, True)


def test_a_question_about_another_text_is_the_same_callers_and_of_no_session(rig: Any) -> None:
    want = Wants(regions=(("eu",),), knobs={"quality": 0.3})
    body = chat(("user", "Hello"), pointsman={"quality": 0.3})
    question = _question(rig, body, want=want, headers={b"session_id": b"s"})
    other = question.about("What is 2 + 2?")
    assert (other.text, other.knobs, other.is_continued) == ("What is 2 + 2?", Knobs(quality=0.3), False)
    assert other.call is question.call
    assert (other.facts.needs, other.facts.regions) == (None, (("eu",),))


def test_a_knob_behind_the_name_has_to_be_one(rig: Any) -> None:
    match = Match(rig.groups.match("house").group, None, NamedKnob("house", 1.5, None))
    with pytest.raises(InvalidRequest, match="0 to 1"):
        question_of(rig.call(), match, "house:1.5", NOTHING, chat(), None, RoutingSettings(), 100.0)


def test_what_is_no_conversation_has_no_prompt(rig: Any) -> None:
    with pytest.raises(InvalidRequest, match="conversations only"):
        _question(rig, b'{"model":"house","input":"x"}', operation=op.EMBEDDINGS)
    assert not_routable(None).param == "model"


def test_a_call_without_a_request_id_has_an_empty_one(rig: Any) -> None:
    question = _question(rig, chat())
    question.call.identity = b""
    assert question.request_id == ""
