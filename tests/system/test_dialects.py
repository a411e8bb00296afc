"""Each official SDK against each kind of provider, over real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from system.conftest import MASTER_KEY
from system.fakes import gemini
from system.fakes.config import CHATS
from system.fakes.model import CACHED, CITIES, INPUT, OUTPUT, STATION, THOUGHT, answer_text
from system.process import Gateway
from system.sdks import PNG, SDKS, TOOL, Heard, Question, Results, Sdk, Station, Wish

HIDES = ("openai",)
"""Providers that do not show reasoning."""
CACHES = ("openai", "deepseek", "responses", "anthropic", "gemini", "converse")
"""Providers that report what they had cached."""


@pytest.fixture(scope="module", params=SDKS, ids=lambda sdk: str(sdk.NAME))
def sdk(request: pytest.FixtureRequest, dialects: Gateway) -> Iterator[Sdk]:
    made: Sdk = request.param(dialects.base_url, MASTER_KEY)
    yield made
    made.close()


@pytest.fixture(params=CHATS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def is_stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def expected_tokens(provider: str) -> tuple[int, int, int]:
    return INPUT, OUTPUT, CACHED if provider in CACHES else 0


@pytest.mark.requirement("dialects.plain")
def test_a_plain_answer_has_its_text_model_finish_and_usage(sdk: Sdk, provider: str, is_stream: bool) -> None:
    wish = Wish(system="the timetable", is_stream=is_stream)
    heard = sdk.ask(f"via-{provider}", [Question("Is the line clear?")], wish)
    assert heard.text == answer_text(1, "the timetable")
    # Google tells the version of the model, which is not its name.
    is_own = sdk.NAME == provider == "gemini"
    assert (heard.model, heard.finish) == (gemini.MODEL if is_own else f"via-{provider}", sdk.STOP)
    assert heard.tokens == expected_tokens(provider)
    assert heard.pieces > 1 or not is_stream


@pytest.mark.requirement("dialects.plain")
def test_a_conversation_goes_on(sdk: Sdk, provider: str) -> None:
    first = sdk.ask(f"via-{provider}", [Question("Is the line clear?")], Wish())
    second = sdk.ask(f"via-{provider}", [Question("Is the line clear?"), first, Question("And now?")], Wish())
    assert second.text == answer_text(2)


@pytest.mark.requirement("dialects.tools")
def test_parallel_tools_are_called_and_their_results_taken(sdk: Sdk, provider: str, is_stream: bool) -> None:
    history, heard = call_tools(sdk, provider, Wish(has_tools=True, is_stream=is_stream))
    assert [(call.name, call.arguments) for call in heard.calls] == [(TOOL, {"city": city}) for city in CITIES]
    assert heard.finish == sdk.TOOLS
    assert heard.text == "Let me look."
    answer = sdk.ask(f"via-{provider}", history, Wish(has_tools=True, is_stream=is_stream))
    assert answer.text == "Weather: fog in Bern; fog in Basel; fog in Chur"


@pytest.mark.requirement("dialects.reasoning")
def test_reasoning_is_shown_and_given_back_with_its_seal(sdk: Sdk, provider: str, is_stream: bool) -> None:
    wish = Wish(has_tools=True, thinks=True, is_stream=is_stream)
    history, heard = call_tools(sdk, provider, wish)
    assert heard.thinking == ("" if provider in HIDES else THOUGHT)
    answer = sdk.ask(f"via-{provider}", history, wish)
    assert answer.text == "Weather: fog in Bern; fog in Basel; fog in Chur"
    later = sdk.ask(f"via-{provider}", [*history, answer, Question("Is the line clear?")], Wish(thinks=True))
    assert later.text == answer_text(2)


def status_of(error: Any) -> Any:
    return error.status_code if hasattr(error, "status_code") else error.code


def call_tools(sdk: Sdk, provider: str, wish: Wish) -> tuple[list[Any], Heard]:
    question = Question("What is the weather in Bern, Basel and Chur?")
    heard = sdk.ask(f"via-{provider}", [question], wish)
    results = Results(heard.calls, [f"fog in {call.arguments['city']}" for call in heard.calls])
    return [question, heard, results], heard


@pytest.mark.requirement("dialects.images")
def test_a_picture_is_seen(sdk: Sdk, provider: str) -> None:
    heard = sdk.ask(f"via-{provider}", [Question("What is this?", PNG)], Wish())
    assert heard.text == f"I see image/png of {len(PNG)} bytes"


@pytest.mark.requirement("dialects.structured-output")
def test_a_structured_answer_is_what_was_asked_for(sdk: Sdk, provider: str, is_stream: bool) -> None:
    heard = sdk.ask(f"via-{provider}", [Question("Which station?")], Wish(is_structured=True, is_stream=is_stream))
    assert Station.model_validate_json(heard.text) == Station.model_validate(STATION)


@pytest.mark.requirement("dialects.errors")
@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_an_error_raises_the_class_that_the_sdk_has_for_it(
    sdk: Sdk, provider: str, is_stream: bool, status: int
) -> None:
    with pytest.raises(sdk.ERRORS[status]) as caught:
        sdk.ask(f"via-{provider}", [Question(f"Please answer with {status}")], Wish(is_stream=is_stream))
    error: Any = caught.value
    assert status_of(error) == status
    assert "This failure was asked for" in str(error)
    if status == 429:
        assert error.response.headers["retry-after"] == "7"


@pytest.mark.requirement("dialects.errors")
def test_anthropics_overload_is_a_503_to_everybody(sdk: Sdk) -> None:
    with pytest.raises(sdk.ERRORS[503]) as caught:
        sdk.ask("via-anthropic", [Question("Please answer with 529")], Wish())
    assert status_of(caught.value) == 503


@pytest.mark.requirement("dialects.stream-errors")
def test_a_stream_that_breaks_off_raises(sdk: Sdk, provider: str) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011  each SDK has its own
        sdk.ask(f"via-{provider}", [Question("Now break off")], Wish(is_stream=True))
    assert type(caught.value).__module__.partition(".")[0] in ("openai", "anthropic", "google")
