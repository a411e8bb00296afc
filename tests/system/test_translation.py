"""What is shaped, counted and forwarded on the way to providers of another dialect, and how clients ask for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types
from system.conftest import MASTER_KEY
from system.fakes.gemini import KEY as GEMINI_KEY
from system.fakes.model import INPUT, THOUGHT, answer_text
from system.process import Gateway, Reply
from system.upstream.script import event, stream_answer
from system.upstream.server import FakeUpstream

HELLO: list[Any] = [{"role": "user", "content": "Is the line clear?"}]
BODY = {"messages": HELLO, "max_tokens": 100}
GEMINI_BODY = {"contents": [{"role": "user", "parts": [{"text": "Is the line clear?"}]}]}
SHAKY = {"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "content": []}}
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}

Fakes = Mapping[str, FakeUpstream]


@pytest.fixture
def claude(dialects: Gateway) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=dialects.base_url, api_key=MASTER_KEY, max_retries=0, timeout=20) as sdk:
        yield sdk


@pytest.fixture
def google(dialects: Gateway) -> Iterator[genai.Client]:
    with genai.Client(api_key=MASTER_KEY, http_options=types.HttpOptions(base_url=dialects.base_url)) as sdk:
        yield sdk


@pytest.fixture
def gpt(dialects: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{dialects.base_url}/v1", api_key=MASTER_KEY, max_retries=0, timeout=20) as sdk:
        yield sdk


def chat(gateway: Gateway, model: str, **more: Any) -> Reply:
    return gateway.post("/v1/chat/completions", BODY | {"model": model} | more)


@pytest.mark.requirement("translation.refused")
def test_what_a_provider_lacks_is_a_400_that_names_it(gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        gpt.chat.completions.create(model="via-anthropic", messages=HELLO, seed=7, logprobs=True)
    assert caught.value.code == "unsupported_parameter"
    assert caught.value.param in ("seed", "logprobs")
    assert "'seed'" in str(caught.value)
    assert "'logprobs'" in str(caught.value)


@pytest.mark.requirement("translation.drop-params", "config.drop-params")
def test_drop_params_of_a_deployment_leaves_it_out_and_says_so(dialects: Gateway, fakes: Fakes) -> None:
    reply = chat(dialects, "drops-all", seed=7, presence_penalty=0.5)
    assert reply.status == 200
    assert set((reply.header("x-pointsman-dropped") or "").split(",")) == {"seed", "presence_penalty"}
    assert {"seed", "presence_penalty"}.isdisjoint(fakes["anthropic"].last.json)


@pytest.mark.requirement("translation.drop-params")
def test_drop_params_may_stand_in_the_request(dialects: Gateway, fakes: Fakes) -> None:
    assert chat(dialects, "via-anthropic", seed=7).status == 400
    assert chat(dialects, "via-anthropic", seed=7, drop_params=True).status == 200
    assert {"seed", "drop_params"}.isdisjoint(fakes["anthropic"].last.json)


@pytest.mark.requirement("translation.drop-params")
def test_additional_drop_params_are_left_out_and_others_still_refused(dialects: Gateway, fakes: Fakes) -> None:
    assert chat(dialects, "drops-seed", seed=7).status == 200
    assert "seed" not in fakes["anthropic"].last.json
    assert chat(dialects, "drops-seed", presence_penalty=0.5).error["param"] == "presence_penalty"


@pytest.mark.requirement("translation.allowed-params")
def test_allowed_openai_params_are_sent_by_their_openai_name(dialects: Gateway, fakes: Fakes) -> None:
    reply = chat(dialects, "allows-seed", seed=7)
    # The provider refuses it, as it does when nobody stands between.
    assert reply.status == 400
    assert "seed" in reply.error["message"]
    assert fakes["anthropic"].last.json["seed"] == 7


@pytest.mark.requirement("translation.extra-body")
def test_extra_body_and_extra_headers_are_added_in_any_dialect(dialects: Gateway, fakes: Fakes) -> None:
    assert chat(dialects, "adds-top-k").status == 200
    assert fakes["openai"].last.json["top_k"] == 3
    assert chat(dialects, "adds-translated").status == 200
    assert fakes["anthropic"].last.json["top_k"] == 3
    assert fakes["anthropic"].last.header("x-house") == "canary"


@pytest.mark.requirement("translation.merged-reasoning")
@pytest.mark.parametrize("model", ["merges-deepseek", "merges-anthropic"])
@pytest.mark.parametrize("is_stream", [False, True])
def test_reasoning_may_be_merged_into_the_text(gpt: openai.OpenAI, model: str, is_stream: bool) -> None:
    asked: dict[str, Any] = {"model": model, "messages": HELLO, "reasoning_effort": "medium", "max_tokens": 6000}
    if is_stream:
        with gpt.chat.completions.create(**asked, stream=True) as stream:
            deltas = [chunk.choices[0].delta for chunk in stream if chunk.choices]
    else:
        deltas = [gpt.chat.completions.create(**asked).choices[0].message]
    assert "".join(delta.content or "" for delta in deltas) == f"<think>{THOUGHT}</think>{answer_text()}"
    assert not any(getattr(delta, "reasoning_content", None) for delta in deltas)


@pytest.mark.requirement("config.credential-list")
def test_a_credential_of_the_list_is_used(dialects: Gateway) -> None:
    assert chat(dialects, "shares-credential").status == 200


@pytest.mark.requirement("translation.passed-over")
def test_a_deployment_that_cannot_say_it_is_passed_over_for_one_that_can(dialects: Gateway) -> None:
    one = chat(dialects, "mixed")
    assert one.json["id"].startswith("msg_")
    two = chat(dialects, "mixed", n=2)
    assert two.status == 200
    assert two.json["id"].startswith("chatcmpl-")
    assert len(two.json["choices"]) == 2


@pytest.mark.requirement("translation.fallback")
def test_a_stream_falls_back_to_another_dialect_before_its_first_output(gpt: openai.OpenAI, fakes: Fakes) -> None:
    fakes["anthropic"].answers("claude-shaky", stream_answer(event(SHAKY, "message_start"), event(OVERLOADED, "error")))
    with gpt.chat.completions.create(model="shaky", messages=HELLO, stream=True) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == answer_text()
    assert {chunk.model for chunk in chunks} == {"via-openai"}


@pytest.mark.requirement("translation.fallback")
def test_a_stream_of_messages_falls_back_too(claude: anthropic.Anthropic, fakes: Fakes) -> None:
    fakes["anthropic"].answers("claude-shaky", stream_answer(event(SHAKY, "message_start"), event(OVERLOADED, "error")))
    with claude.messages.stream(model="shaky", max_tokens=100, messages=HELLO) as stream:
        assert stream.get_final_text() == answer_text()


@pytest.mark.requirement("translation.foreign-body")
@pytest.mark.parametrize("is_stream", [False, True])
def test_a_responses_body_on_the_address_of_chat_is_answered_as_chat(dialects: Gateway, is_stream: bool) -> None:
    tool = {"type": "function", "name": "get_weather", "parameters": {"properties": {"city": {"type": "string"}}}}
    said = [
        {"role": "system", "content": "You drive."},
        {"role": "user", "content": [{"type": "input_text", "text": "Weather in Bern?"}]},
    ]
    body = {"model": "via-anthropic", "input": said, "tools": [tool], "stream": is_stream, "max_output_tokens": 100}
    reply = dialects.post("/v1/chat/completions", body)
    assert reply.status == 200, reply.body
    if not is_stream:
        assert reply.json["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "get_weather"
        return
    assert reply.events[-1] == "[DONE]"
    deltas = [choice["delta"] for chunk in reply.events[:-1] for choice in chunk["choices"]]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert json.loads("".join(call["function"]["arguments"] for call in calls)) == {"city": "Bern"}


@pytest.mark.requirement("headers.beta")
def test_the_anthropic_beta_goes_to_anthropic_only(dialects: Gateway, fakes: Fakes) -> None:
    headers = {"anthropic-beta": "context-1m-2025-08-07", "anthropic-version": "2023-06-01"}
    assert dialects.post("/v1/messages", BODY | {"model": "via-anthropic"}, headers).status == 200
    assert fakes["anthropic"].last.header("anthropic-beta") == "context-1m-2025-08-07"
    for provider in ("openai", "gemini", "converse", "cohere"):
        assert dialects.post("/v1/messages", BODY | {"model": f"via-{provider}"}, headers).status == 200
        received = fakes[provider].last
        assert [received.header(name) for name in headers] == [None, None]


@pytest.mark.requirement("tokens.counted")
def test_tokens_are_counted_by_anthropic_itself(claude: anthropic.Anthropic, fakes: Fakes) -> None:
    counted = claude.messages.count_tokens(model="via-anthropic", messages=HELLO)
    assert counted.input_tokens == INPUT
    assert fakes["anthropic"].last.target == "/v1/messages/count_tokens"


@pytest.mark.requirement("tokens.estimated")
@pytest.mark.parametrize("provider", ["openai", "gemini", "converse", "ollama"])
def test_tokens_for_another_provider_are_estimated_and_it_is_said(claude: anthropic.Anthropic, provider: str) -> None:
    words = [{"role": "user", "content": "signal box " * 200}]
    raw = claude.messages.with_raw_response.count_tokens(model=f"via-{provider}", messages=words)  # type: ignore[arg-type]
    assert raw.headers["x-pointsman-estimated"] == "true"
    assert 300 < raw.parse().input_tokens < 1200


@pytest.mark.requirement("tokens.counted", "tokens.estimated")
def test_gemini_counts_tokens_itself_and_others_are_estimated(google: genai.Client) -> None:
    assert google.models.count_tokens(model="via-gemini", contents="Is the line clear?").total_tokens == INPUT
    counted = google.models.count_tokens(model="via-anthropic", contents="signal box " * 200).total_tokens
    assert counted is not None
    assert 300 < counted < 1200


@pytest.mark.requirement("models.sdks")
def test_the_anthropic_sdk_lists_models(claude: anthropic.Anthropic) -> None:
    models = {model.id: model for model in claude.models.list()}
    assert {"via-anthropic", "via-gemini"} <= set(models)
    assert models["via-gemini"].type == "model"
    assert claude.models.retrieve("via-openai").display_name == "via-openai"
    with pytest.raises(anthropic.NotFoundError):
        claude.models.retrieve("nobody")


@pytest.mark.requirement("models.sdks")
def test_the_google_sdk_lists_models(google: genai.Client) -> None:
    models = {model.name: model for model in google.models.list()}
    assert {"models/via-anthropic", "models/via-gemini"} <= set(models)
    assert "generateContent" in (models["models/via-openai"].supported_actions or ())
    assert google.models.get(model="via-openai").name == "models/via-openai"
    with pytest.raises(genai.errors.ClientError) as caught:
        google.models.get(model="nobody")
    assert caught.value.code == 404


@pytest.mark.requirement("keys.google")
@pytest.mark.parametrize("place", ["header", "query"])
def test_googles_places_of_the_key_are_taken_and_not_sent_on(dialects: Gateway, fakes: Fakes, place: str) -> None:
    path = "/v1beta/models/via-gemini:generateContent"
    headers = {"x-goog-api-key": MASTER_KEY} if place == "header" else {}
    query = "" if place == "header" else f"?key={MASTER_KEY}"
    assert dialects.post(path + query, GEMINI_BODY, headers, key="").status == 200
    assert fakes["gemini"].last.header("x-goog-api-key") == GEMINI_KEY
    assert "key=" not in fakes["gemini"].last.target
    assert dialects.post(path, GEMINI_BODY, {"x-goog-api-key": "wrong"}, key="").status == 401


@pytest.mark.requirement("gemini.stream")
def test_a_gemini_stream_without_sse_is_one_array(dialects: Gateway) -> None:
    for model in ("via-gemini", "via-anthropic"):
        reply = dialects.post(f"/v1beta/models/{model}:streamGenerateContent", GEMINI_BODY)
        assert reply.status == 200, reply.body
        texts = [part.get("text", "") for e in reply.json for part in e["candidates"][0]["content"]["parts"]]
        assert "".join(texts) == answer_text()


@pytest.mark.requirement("errors.dialects")
def test_errors_are_told_in_the_callers_dialect(dialects: Gateway) -> None:
    messages = dialects.post("/v1/messages", BODY | {"model": "nobody"})
    assert (messages.status, messages.json["type"], messages.error["type"]) == (404, "error", "not_found_error")
    gemini = dialects.post("/v1beta/models/nobody:generateContent", GEMINI_BODY)
    assert (gemini.error["code"], gemini.error["status"]) == (404, "NOT_FOUND")
    stranger = dialects.post("/v1/messages", BODY, key="sk-wrong")
    assert (stranger.status, stranger.error["type"]) == (401, "authentication_error")


@pytest.mark.requirement("errors.operators-key")
@pytest.mark.parametrize("provider", ["openai", "responses", "anthropic", "gemini", "converse", "cohere"])
def test_a_refused_credential_of_the_operator_is_not_told_as_the_callers(dialects: Gateway, provider: str) -> None:
    said = {"messages": [{"role": "user", "content": "Please answer with 401"}]}
    reply = chat(dialects, f"via-{provider}", **said)
    assert reply.error["code"] == "upstream_credential_refused", reply.body
    assert reply.status == 401
