from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam
from system.process import Gateway
from system.upstream.answers import chat_events
from system.upstream.script import Answer, End, Step, error_answer, event, json_answer, stream_answer
from system.upstream.server import FakeUpstream

KEY = "sk-reliable-master-51c0"
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
BROKEN = error_answer(503, "The engine is overloaded", kind="overloaded_error", code="engine_overloaded")
TOO_LONG = error_answer(400, "This model's maximum context length is 5 tokens", kind="invalid_request_error")
CONFIG = """
model_list:
  - model_name: pair
    litellm_params: {{model: openai/pair-a, api_base: "{one}", api_key: sk-upstream-one, order: 1, cooldown_time: 0}}
    model_info: {{id: pair-a}}
  - model_name: pair
    litellm_params: {{model: openai/pair-b, api_base: "{two}", api_key: sk-upstream-two, order: 2}}
    model_info: {{id: pair-b}}
  - model_name: tired
    litellm_params: {{model: openai/tired-a, api_base: "{one}", api_key: sk-upstream-one, order: 1, cooldown_time: 60}}
    model_info: {{id: tired-a}}
  - model_name: tired
    litellm_params: {{model: openai/tired-b, api_base: "{two}", api_key: sk-upstream-two, order: 2}}
    model_info: {{id: tired-b}}
  - model_name: raced
    litellm_params: {{model: openai/raced-a, api_base: "{one}", api_key: sk-upstream-one, order: 1}}
    model_info: {{id: raced-a}}
  - model_name: raced
    litellm_params: {{model: openai/raced-b, api_base: "{two}", api_key: sk-upstream-two, order: 2}}
    model_info: {{id: raced-b}}
  - model_name: tagged
    litellm_params: {{model: openai/tagged-free, api_base: "{one}", api_key: sk-upstream-one, tags: [free, default]}}
    model_info: {{id: tagged-free}}
  - model_name: tagged
    litellm_params: {{model: openai/tagged-paid, api_base: "{two}", api_key: sk-upstream-two, tags: [paid]}}
    model_info: {{id: tagged-paid}}
  - model_name: placed
    litellm_params: {{model: openai/placed-us, api_base: "{one}", api_key: sk-upstream-one, region_name: us-east-1}}
    model_info: {{id: placed-us}}
  - model_name: placed
    litellm_params: {{model: openai/placed-eu, api_base: "{two}", api_key: sk-upstream-two, num_retries: 0}}
    model_info: {{id: placed-eu, region: europe-west4}}
  - model_name: abroad
    litellm_params: {{model: openai/abroad-us, api_base: "{one}", api_key: sk-upstream-one, region_name: us-east-1}}
  - model_name: anywhere
    litellm_params: {{model: router/auto, candidates: [backup, placed, abroad]}}
  - model_name: main
    litellm_params:
      {{model: openai/main-up, api_base: "{one}", api_key: sk-upstream-one, num_retries: 0, cooldown_time: 0}}
  - model_name: backup
    litellm_params: {{model: openai/backup-up, api_base: "{two}", api_key: sk-upstream-two}}
  - model_name: wide
    litellm_params: {{model: openai/wide-up, api_base: "{two}", api_key: sk-upstream-two}}
router_settings:
  enable_tag_filtering: true
  fallbacks: [{{main: [backup]}}, {{abroad: [main, placed]}}]
  context_window_fallbacks: [{{main: [wide]}}]
pointsman_settings:
  hedging: {{raced: {{delay: 0.05, budget_percent: 100}}}}
general_settings:
  master_key: {key}
"""


@pytest.fixture(scope="module")
def other() -> Iterator[FakeUpstream]:
    with FakeUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, other: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = CONFIG.format(one=upstream.base_url, two=other.base_url, key=KEY)
    with Gateway(tmp_path_factory.mktemp("reliable"), config) as running:
        running.key = KEY
        yield running


@pytest.fixture
def client(gateway: Gateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.base_url}/v1", api_key=KEY, max_retries=0, timeout=20) as sdk:
        yield sdk


def ask(client: OpenAI, model: str, **more: Any) -> tuple[str, dict[str, str]]:
    """The model and the headers of the reply."""
    reply = client.chat.completions.with_raw_response.create(model=model, messages=HELLO, **more)
    return reply.parse().model, dict(reply.headers)


def extra(headers: dict[str, str]) -> tuple[str, str]:
    """Retries and fallbacks that it took."""
    return headers["x-litellm-attempted-retries"], headers["x-litellm-attempted-fallbacks"]


@pytest.mark.requirement("reliability.retry")
@pytest.mark.parametrize(
    "failure",
    [
        BROKEN,
        error_answer(404, "No such model", kind="invalid_request_error"),
        json_answer({}),
        json_answer({"error": {"message": "inside", "code": 500}}),
        Answer(200, (("content-type", "text/html"),), (b"<html>",)),
        Answer(framing="raw", steps=(End.CUT,)),
        Answer(framing="raw", steps=(End.RESET,)),
        Answer(steps=(b'{"id":', End.RESET), framing="close"),
    ],
)
def test_a_failure_is_tried_again_elsewhere_and_the_client_sees_the_answer_only(
    client: OpenAI, upstream: FakeUpstream, other: FakeUpstream, failure: Answer
) -> None:
    upstream.answers("pair-a", failure)
    before = len(other.requests("pair-b"))
    model, headers = ask(client, "pair")
    assert (model, headers["x-litellm-model-id"], extra(headers)) == ("pair", "pair-b", ("1", "0"))
    assert len(other.requests("pair-b")) == before + 1


@pytest.mark.requirement("reliability.stream")
@pytest.mark.parametrize(
    "steps",
    [
        (),
        (b": keep-alive\n\n", End.CUT),
        (chat_events("pair-a", usage=False)[0], End.CUT),
        (chat_events("pair-a", usage=False)[0], End.RESET),
        (event({"error": {"message": "overloaded", "code": 503}}),),
        (b"data: {not json}\n\n",),
    ],
)
def test_a_stream_that_fails_before_its_first_output_is_given_by_another_deployment(
    client: OpenAI, upstream: FakeUpstream, steps: tuple[Step, ...]
) -> None:
    upstream.answers("pair-a", stream_answer(*steps))
    with client.chat.completions.create(model="pair", messages=HELLO, stream=True) as stream:
        chunks = list(stream)
    assert {chunk.model for chunk in chunks} == {"pair"}
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert stream.response.headers["x-litellm-model-id"] == "pair-b"


@pytest.mark.requirement("reliability.stream")
def test_a_stream_that_fails_later_is_not_begun_again(
    client: OpenAI, upstream: FakeUpstream, other: FakeUpstream
) -> None:
    events = chat_events("pair-a", usage=False)[:3]
    upstream.answers("pair-a", stream_answer(*events, End.CUT))
    before = len(other.requests("pair-b"))
    seen: list[str | None] = []
    stream = client.chat.completions.create(model="pair", messages=HELLO, stream=True)
    with stream, pytest.raises(openai.APIError, match="cut off"):
        seen.extend(chunk.choices[0].delta.content for chunk in stream)
    assert seen == ["", "Points", " set"]
    assert len(other.requests("pair-b")) == before


@pytest.mark.requirement("reliability.retry")
@pytest.mark.parametrize(
    "wish", [{"extra_body": {"num_retries": 0}}, {"extra_headers": {"x-litellm-num-retries": "0"}}]
)
def test_after_giving_up_the_upstreams_error_is_told(
    client: OpenAI, upstream: FakeUpstream, wish: dict[str, Any]
) -> None:
    upstream.answers("pair-a", BROKEN)
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client, "pair", **wish)
    error = caught.value
    assert (error.status_code, error.type, error.code) == (503, "overloaded_error", "engine_overloaded")
    assert "The engine is overloaded" in error.message
    assert extra(dict(error.response.headers)) == ("0", "0")
    assert error.response.headers["x-litellm-max-retries"] == "0"


@pytest.mark.requirement("reliability.fallback")
def test_another_model_answers_under_its_own_name(client: OpenAI, upstream: FakeUpstream, other: FakeUpstream) -> None:
    upstream.answers("main-up", BROKEN)
    model, headers = ask(client, "main")
    assert (model, headers["x-litellm-model-group"], extra(headers)) == ("backup", "backup", ("0", "1"))
    assert other.request("backup-up").json["messages"] == HELLO


@pytest.mark.requirement("reliability.fallback")
@pytest.mark.parametrize(
    "wish",
    [
        {"fallbacks": ["wide"]},
        {"fallbacks": [{"main": ["wide"]}]},
        {"fallbacks": [{"model": "wide", "max_tokens": 5}]},
        {"models": ["main", "wide"]},
    ],
)
def test_a_request_may_say_whom_to_go_on_with(
    client: OpenAI, upstream: FakeUpstream, other: FakeUpstream, wish: dict[str, Any]
) -> None:
    upstream.answers("main-up", BROKEN)
    assert ask(client, "main", extra_body=wish)[0] == "wide"
    sent = other.request("wide-up").json
    assert sent.keys() <= {"model", "messages", "max_tokens"}
    assert sent.get("max_tokens") == (5 if "max_tokens" in str(wish) else None)


@pytest.mark.requirement("reliability.fallback")
@pytest.mark.parametrize(
    "wish",
    [
        {"extra_body": {"disable_fallbacks": True}},
        {"extra_headers": {"x-litellm-disable-fallbacks": "true"}},
        {"extra_body": {"fallbacks": []}},
    ],
)
def test_a_request_may_want_no_fallbacks(client: OpenAI, upstream: FakeUpstream, wish: dict[str, Any]) -> None:
    upstream.answers("main-up", BROKEN)
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client, "main", **wish)
    assert (caught.value.status_code, caught.value.type) == (503, "overloaded_error")


@pytest.mark.requirement("reliability.fallback")
def test_a_prompt_that_is_too_long_goes_to_the_model_for_long_ones(client: OpenAI, upstream: FakeUpstream) -> None:
    upstream.answers("main-up", TOO_LONG)
    model, headers = ask(client, "main")
    assert (model, extra(headers)) == ("wide", ("0", "1"))
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "main", extra_body={"disable_fallbacks": True})
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.requirement("reliability.cooldown")
def test_a_deployment_that_fails_again_and_again_rests_and_the_metrics_show_it(
    client: OpenAI, gateway: Gateway, upstream: FakeUpstream
) -> None:
    upstream.answers("tired-a", BROKEN)
    for _ in range(12):
        assert ask(client, "tired")[1]["x-litellm-model-id"] == "tired-b"
    assert len(upstream.requests("tired-a")) == 5
    text = gateway.get("/metrics").body.decode()
    found = re.findall(r'^litellm_deployment_state\{[^}]*model_id="(tired-.)"[^}]*\} (\S+)$', text, re.MULTILINE)
    assert {name: float(value) for name, value in found} == {"tired-a": 2.0, "tired-b": 0.0}
    assert gateway.metric("litellm_deployment_cooled_down_total") == 1
    assert "deployment tired-a rests" in gateway.stderr


@pytest.mark.requirement("reliability.tags")
@pytest.mark.parametrize(
    ("wish", "chosen"),
    [
        ({}, "tagged-free"),
        ({"extra_body": {"tags": ["paid"]}}, "tagged-paid"),
        ({"extra_body": {"metadata": {"tags": ["paid"]}}}, "tagged-paid"),
        ({"extra_headers": {"x-litellm-tags": "paid"}}, "tagged-paid"),
        ({"extra_body": {"tags": ["unheard-of"]}}, "tagged-free"),
    ],
)
def test_tags_choose_among_deployments(
    client: OpenAI, upstream: FakeUpstream, other: FakeUpstream, wish: dict[str, Any], chosen: str
) -> None:
    assert ask(client, "tagged", **wish)[1]["x-litellm-model-id"] == chosen
    sent = (upstream if chosen == "tagged-free" else other).request(chosen)
    assert sent.json.keys() == {"model", "messages"}


@pytest.mark.requirement("routing.regions")
@pytest.mark.parametrize(
    ("model", "answered"),
    [("placed", "placed"), ("abroad", "placed"), ("anywhere", "placed"), ("placed-eu", "placed-eu")],
)
@pytest.mark.parametrize(
    "wish", [{"extra_body": {"allowed_model_region": "eu"}}, {"extra_headers": {"x-pointsman-region": "europe-west4"}}]
)
def test_a_request_is_answered_in_the_region_that_it_demands(
    client: OpenAI, other: FakeUpstream, wish: dict[str, Any], model: str, answered: str
) -> None:
    for _ in range(3):
        found, headers = ask(client, model, **wish)
        assert (found, headers["x-litellm-model-id"]) == (answered, "placed-eu")
        assert headers["x-litellm-model-region"] == "europe-west4"
        assert other.request("placed-eu").json.keys() == {"model", "messages"}


@pytest.mark.requirement("routing.regions")
@pytest.mark.parametrize(
    ("model", "region", "there_are"),
    [
        ("placed", "ap-south-1", "its regions are europe-west4, us-east-1"),
        ("placed-us", "eu", "its regions are us-east-1"),
        ("pair", "eu", "its regions are not known"),
        ("anywhere", "ap-south-1", "its regions are europe-west4, us-east-1"),
    ],
)
def test_a_region_in_which_nobody_answers_is_refused(client: OpenAI, model: str, region: str, there_are: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, model, extra_body={"allowed_model_region": region})
    assert caught.value.param == "allowed_model_region"
    assert there_are in caught.value.message


@pytest.mark.requirement("routing.regions")
def test_where_the_region_fails_nobody_else_answers(client: OpenAI, other: FakeUpstream) -> None:
    other.answers("placed-eu", BROKEN)
    with pytest.raises(openai.APIStatusError):
        ask(client, "placed", extra_body={"allowed_model_region": "eu", "num_retries": 0})


@pytest.mark.requirement("reliability.hedge")
def test_a_slow_deployment_is_outrun_by_another_and_let_go(client: OpenAI, upstream: FakeUpstream) -> None:
    upstream.answers("raced-a", Answer(framing="raw", steps=(End.SILENCE,)))
    model, headers = ask(client, "raced")
    assert (model, headers["x-litellm-model-id"], headers["x-pointsman-hedged-model-id"]) == (
        "raced",
        "raced-b",
        "raced-a",
    )
    assert upstream.request("raced-a").closed.wait(20)


@pytest.mark.requirement("reliability.deadline")
@pytest.mark.parametrize("wish", [{"extra_body": {"timeout": 0.3}}, {"extra_headers": {"x-litellm-timeout": "0.3"}}])
def test_a_request_may_say_how_long_all_of_its_attempts_may_take(
    client: OpenAI, upstream: FakeUpstream, wish: dict[str, Any]
) -> None:
    upstream.answers("pair-a", Answer(framing="raw", steps=(End.SILENCE,)))
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client, "pair", **wish)
    assert (caught.value.status_code, caught.value.code) == (504, "upstream_timeout")
    assert upstream.request("pair-a").closed.wait(20)


@pytest.mark.requirement("reliability.retry")
def test_an_upload_is_sent_again_whole(client: OpenAI, upstream: FakeUpstream, other: FakeUpstream) -> None:
    upstream.answers("pair-a", BROKEN)
    sound = bytes(range(256)) * 1000
    reply = client.audio.transcriptions.create(model="pair", file=("a.wav", sound))
    assert reply.text
    sent = other.request("pair-b")
    assert sound in sent.body
    assert sent.header("content-length") == str(len(sent.body))


@pytest.mark.requirement("reliability.retry")
@pytest.mark.parametrize("wish", [{"num_retries": "many"}, {"timeout": 0}, {"fallbacks": 7}, {"models": [""]}])
def test_a_wish_that_cannot_be_understood_is_refused(client: OpenAI, wish: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "pair", extra_body=wish)
    assert caught.value.param == next(iter(wish))
