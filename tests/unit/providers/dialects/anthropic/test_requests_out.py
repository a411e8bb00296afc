from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.providers.dialects.anthropic import golden

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.anthropic import read_request, write_request
from pointsman.providers.translation import Terms
from pointsman.wire.chat import (
    CacheMark,
    ChatRequest,
    Document,
    Format,
    Image,
    Part,
    Reasoning,
    Seal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)

MODEL = "claude-opus-5"


def terms_of(case: dict[str, Any]) -> Terms:
    return msgspec.convert(case, Terms)


@pytest.mark.requirement("anthropic.outbound")
@pytest.mark.parametrize("path", golden.cases("requests"), ids=lambda path: path.stem)
def test_a_request_is_written_as_recorded(path: Path) -> None:
    case = golden.load(path)
    terms = terms_of(case["terms"])
    assert write_request(golden.request(case["canonical"]), terms) == case["native"]
    assert terms.lost == case["lost"]


@pytest.mark.requirement("anthropic.inbound", "anthropic.outbound")
@pytest.mark.parametrize("path", golden.cases("requests_in"), ids=lambda path: path.stem)
def test_what_a_client_of_this_dialect_says_is_said_to_the_provider(path: Path) -> None:
    request = golden.request(golden.load(path)["canonical"])
    terms = Terms(model=MODEL)
    body = write_request(request, terms)
    again = read_request(msgspec.json.encode(body))
    again.model, again.stream = request.model, request.stream
    again.max_tokens = request.max_tokens
    assert again == without_empty_turns(request)
    assert terms.lost == []


def without_empty_turns(request: ChatRequest) -> ChatRequest:
    request.turns = [turn for turn in request.turns if turn.parts]
    return request


def request(*turns: Turn, **members: Any) -> ChatRequest:
    return ChatRequest(dialect="openai", turns=[*turns] or [Turn("user", [Text("Hi")])], **members)


def written(terms: Terms, **members: Any) -> dict[str, Any]:
    return write_request(request(**members), terms)


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("temperature", {"temperature": 0.1}),
        ("top_k", {"top_k": 3}),
        ("stop", {"stop": [" ", "END"]}),
        ("user", {"user": "u"}),
        ("tools", {"tools": [Tool(name="f")], "tool_choice": ToolChoice(mode="auto")}),
        ("response_format", {"format": Format(kind="json")}),
        ("reasoning_effort", {"reasoning": Reasoning(effort="low")}),
        ("thinking", {"reasoning": Reasoning(budget_tokens=2000)}),
        ("seed", {"seed": 1}),
        ("service_tier", {"options": {"service_tier": "flex"}}),
        ("verbosity", {"options": {"verbosity": "low"}}),
        ("web_search_options", {"options": {"web_search_options": {}}}),
        ("min_p", {"extras": {"min_p": 0.1}}),
        ("cache_control", {"cache": CacheMark()}),
    ],
)
def test_what_shall_be_dropped_is_left_out_without_a_word(name: str, members: dict[str, Any]) -> None:
    plain = written(Terms(model=MODEL))
    terms = Terms(model=MODEL, drops=frozenset({name}))
    assert written(terms, **members) == plain
    assert terms.lost == []
    kept = Terms(model=MODEL)
    assert written(kept, **members) != plain or kept.lost == [name]


@pytest.mark.parametrize("name", ["seed", "n", "logprobs", "top_logprobs", "presence_penalty", "frequency_penalty"])
def test_what_the_format_does_not_have_is_lost_unless_it_is_allowed(name: str) -> None:
    value = True if name == "logprobs" else 2
    terms = Terms(model=MODEL)
    assert name not in written(terms, **{name: value})
    assert terms.lost == [name]
    terms = Terms(model=MODEL, allowed=frozenset({name}))
    assert written(terms, **{name: value})[name] == value
    assert terms.lost == []


def test_parameters_that_say_nothing_are_not_lost() -> None:
    terms = Terms(model=MODEL)
    options: dict[str, Any] = {"logit_bias": {}, "store": False, "modalities": ["text"], "prediction": None}
    written(terms, n=1, logprobs=False, presence_penalty=0.0, top_logprobs=0, temperature=1.0, options=options)
    assert terms.lost == []


def test_an_allowed_parameter_is_sent_to_a_model_that_refuses_it() -> None:
    terms = Terms(model=MODEL, allowed=frozenset({"temperature"}))
    assert written(terms, temperature=0.1)["temperature"] == 0.1


def test_sampling_is_lost_beside_thinking_unless_it_says_nothing() -> None:
    terms = Terms(model="claude-sonnet-4-5")
    thinks = Reasoning(effort="high")
    body = written(terms, reasoning=thinks, temperature=0.2, top_p=0.95, top_k=3)
    assert (body["top_p"], terms.lost) == (0.95, ["temperature", "top_k"])
    assert not {"temperature", "top_k"} & body.keys()
    assert written(Terms(model="claude-sonnet-4-5"), temperature=0.2)["temperature"] == 0.2
    assert written(Terms(model="kimi-k2"), reasoning=thinks, temperature=0.2)["temperature"] == 0.2


@pytest.mark.parametrize(
    ("model", "is_known"),
    [("claude-sonnet-4-20250514", False), ("claude-opus-4-1", True), ("claude-sonnet-4-5", True), ("kimi-k2", True)],
)
def test_an_answer_is_held_to_a_schema_where_the_model_knows_that(model: str, is_known: bool) -> None:
    terms = Terms(model=model)
    body = written(terms, format=Format(kind="schema", schema={"type": "object"}))
    assert ("output_config" in body, terms.lost) == (is_known, [] if is_known else ["response_format"])


def test_members_of_a_third_dialect_are_lost() -> None:
    terms = Terms(model=MODEL, allowed=frozenset({"cachedContent"}))
    body = write_request(
        ChatRequest(
            dialect="gemini", turns=[Turn("user", [Text("Hi")])], extras={"safetySettings": [], "cachedContent": "c"}
        ),
        terms,
    )
    assert terms.lost == ["safetySettings"]
    assert body["cachedContent"] == "c"


def test_a_service_tier_that_anthropic_does_not_have_is_lost() -> None:
    for tier in ("flex", ["odd"]):
        terms = Terms(model=MODEL)
        assert "service_tier" not in written(terms, options={"service_tier": tier})
        assert terms.lost == ["service_tier"]


def test_the_limit_is_the_callers_or_the_models_or_a_default() -> None:
    assert written(Terms(model=MODEL, max_output_tokens=9), max_tokens=5)["max_tokens"] == 5
    assert written(Terms(model=MODEL, max_output_tokens=9))["max_tokens"] == 9
    assert written(Terms(model=MODEL))["max_tokens"] == 4096


def test_a_conversation_without_a_user_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        write_request(request(Turn("system", [Text("Be kind")]), Turn("user", [Text("  ")])), Terms(model=MODEL))
    assert caught.value.param == "messages"


marks = st.none() | st.builds(CacheMark, st.sampled_from([None, "5m", "1h"]))
words = st.text(min_size=1, max_size=20).filter(lambda text: bool(text.strip()))
ids = st.text("abcXYZ019_-", min_size=1, max_size=12)
objects = st.dictionaries(words, st.integers(-9, 9) | words | st.none(), max_size=3)
texts = st.builds(Text, words, cache=marks)
images = st.builds(Image, data=words, media_type=st.just("image/png"), cache=marks) | st.builds(Image, url=words)
documents = st.builds(Document, url=words, title=st.none() | words, has_citations=st.booleans(), cache=marks)
results = st.builds(
    ToolResult,
    call_id=ids,
    parts=st.lists(texts | images | documents, max_size=2),
    is_error=st.booleans(),
    cache=marks,
)
calls = st.builds(
    ToolCall,
    id=ids,
    name=words,
    arguments=objects.map(lambda value: msgspec.json.encode(value).decode()),
    cache=marks,
)
thoughts = st.builds(Thinking, words, seal=st.builds(Seal, st.just("anthropic"), ids)) | st.builds(
    Thinking, st.just(""), seal=st.builds(Seal, st.just("anthropic"), ids), is_redacted=st.just(True)
)


def exchange(question: list[Part], answer: list[Part]) -> list[Turn]:
    return [Turn("user", question), Turn("assistant", answer)]


questions = st.tuples(st.lists(results, max_size=2), st.lists(texts | images | documents, min_size=1, max_size=3)).map(
    lambda both: [*both[0], *both[1]]
)
answers = st.lists(thoughts | texts | calls, min_size=1, max_size=4)
tools = st.builds(
    Tool,
    name=words,
    description=st.none() | words,
    schema=objects.map(lambda value: {"type": "object", "properties": {}} | value),
    is_strict=st.none() | st.booleans(),
    cache=marks,
)
reasonings = st.one_of(
    st.none(),
    st.builds(Reasoning, budget_tokens=st.integers(1024, 9999), is_shown=st.none() | st.booleans()),
    st.builds(Reasoning, is_adaptive=st.just(True), effort=st.sampled_from([None, "low", "xhigh", "max"])),
    st.just(Reasoning(is_off=True)),
)
requests = st.builds(
    ChatRequest,
    dialect=st.just("anthropic"),
    model=st.just(MODEL),
    turns=st.lists(st.builds(exchange, questions, answers), min_size=1, max_size=3).map(
        lambda exchanges: (
            [Turn("system", [Text("Be kind")])]
            + [turn for one in exchanges for turn in one]
            + [Turn("user", [Text("Go on")])]
        )
    ),
    tools=st.lists(tools, min_size=1, max_size=2),
    tool_choice=st.sampled_from([None, ToolChoice(mode="auto"), ToolChoice(mode="required"), ToolChoice(mode="none")]),
    format=st.none() | st.builds(Format, kind=st.just("schema"), schema=objects),
    reasoning=reasonings,
    max_tokens=st.integers(1, 99999),
    temperature=st.none() | st.floats(0, 1),
    top_p=st.none() | st.floats(0, 1),
    top_k=st.none() | st.integers(0, 99),
    stop=st.lists(words, max_size=2),
    stream=st.booleans(),
    user=st.none() | words,
    cache=marks,
    options=st.sampled_from([{}, {"service_tier": "default"}, {"service_tier": "auto"}]),
)


@given(requests)
def test_a_conversation_comes_back_as_it_was_written(conversation: ChatRequest) -> None:
    terms = Terms(model=MODEL)
    assert read_request(msgspec.json.encode(write_request(conversation, terms))) == conversation
    assert terms.lost == []
