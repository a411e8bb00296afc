from __future__ import annotations

import json
from typing import Any

import pytest

from pointsman.errors import GatewayError, Inexpressible, InvalidRequest, UpstreamBroken, UpstreamUnreachable
from pointsman.wire.litellm import FUNCTIONS, Refusal, error_body, failure_of

CHAT = FUNCTIONS[b"/chat/completions"]
MESSAGES = [{"role": "user", "content": "hi"}]


def arguments(path: bytes = b"/chat/completions", /, *allowed: str, drops: bool = False, **body: Any) -> dict[str, Any]:
    text = json.dumps({"model": "m", **body}).encode()
    return FUNCTIONS[path].arguments(text, allowed=frozenset(allowed), drops=drops)


class RateLimitError(Exception):
    status_code = 429
    message = "litellm.RateLimitError: RateLimitError: ReplicateException - Slow down"
    type = "requests"
    param = None


class ContextWindowExceededError(RateLimitError):
    status_code = 400


class UnsupportedParamsError(RateLimitError):
    status_code = 400
    message = (
        "litellm.UnsupportedParamsError: replicate does not support parameters: ['tools'], for model=m. To drop these"
    )


class APIConnectionError(RateLimitError):
    status_code = 500
    message = "litellm.APIConnectionError: WatsonxException - Cannot connect to host secret.test:443"


class MidStreamFallbackError(RateLimitError):
    status_code = 503

    def __init__(self, original_exception: Exception) -> None:
        super().__init__()
        self.original_exception = original_exception


class Answer:
    def __init__(self, **headers: str) -> None:
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def refusal(error: Exception) -> Refusal:
    failure = failure_of(error)
    assert isinstance(failure, Refusal)
    return failure


def test_the_fields_of_an_operation_are_passed_on() -> None:
    assert arguments(messages=MESSAGES, temperature=0.5, top_k=3, stream=None) == {
        "model": "m",
        "messages": MESSAGES,
        "temperature": 0.5,
        "top_k": 3,
        "stream": None,
    }
    assert arguments(b"/embeddings", input=["a"], dimensions=2) == {"model": "m", "input": ["a"], "dimensions": 2}
    assert arguments(b"/completions", prompt="a", echo=True) == {"model": "m", "prompt": "a", "echo": True}
    assert arguments(b"/images/generations", prompt="a", size="1x1") == {"model": "m", "prompt": "a", "size": "1x1"}


@pytest.mark.requirement("litellm.body")
@pytest.mark.parametrize(
    "field",
    [
        *(
            "api_base",
            "base_url",
            "api_key",
            "custom_llm_provider",
            "extra_headers",
            "extra_body",
            "timeout",
            "headers",
        ),
        *("aws_web_identity_token", "vertex_credentials", "model_list", "fallbacks", "mock_response", "callbacks"),
        *("max_retries", "drop_params", "allowed_openai_params", "prompt_id", "guardrails", "client", "input"),
    ],
)
def test_what_would_steer_litellm_is_refused(field: str) -> None:
    with pytest.raises(Inexpressible) as caught:
        CHAT.arguments(json.dumps({"model": "m", field: "x"}).encode(), allowed=frozenset(), drops=False)
    assert caught.value.param == field


def test_what_the_operator_allows_is_passed_on() -> None:
    assert arguments(b"/chat/completions", "top_a", messages=MESSAGES, top_a=1)["top_a"] == 1


def test_other_fields_may_be_left_out_instead() -> None:
    assert arguments(drops=True, messages=MESSAGES, top_a=1) == {"model": "m", "messages": MESSAGES}


def test_metadata_is_left_out_and_not_refused() -> None:
    assert "metadata" not in arguments(messages=MESSAGES, metadata={"a": "b"})


@pytest.mark.parametrize("model", ["a/../b", "..", "a?b", "a#b", "a%2fb", "a\nb", "", 3])
def test_a_model_that_would_change_an_address_is_refused(model: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        arguments(messages=MESSAGES, model=model)
    assert caught.value.param == "model"


@pytest.mark.parametrize(
    "model", ["meta/llama-4.1", "deployment/0-1-2", "arn:aws:sagemaker:eu-1:0:endpoint/x_y", "a@b"]
)
def test_the_models_of_providers_are_taken(model: str) -> None:
    assert arguments(messages=MESSAGES, model=model)["model"] == model


@pytest.mark.parametrize("body", [b"", b"[]", b'{"model":'])
def test_a_body_that_cannot_be_read_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        CHAT.arguments(body, allowed=frozenset(), drops=True)


def test_an_error_with_a_status_is_the_providers_answer() -> None:
    found = refusal(RateLimitError())
    assert found.status == 429
    assert found.retry_after is None
    assert json.loads(found.body) == {
        "error": {"message": "Slow down", "type": "requests", "param": None, "code": "429"}
    }


@pytest.mark.parametrize("place", ["response", "litellm_response_headers"])
def test_the_time_to_wait_is_found_where_litellm_keeps_it(place: str) -> None:
    error = RateLimitError()
    answer = Answer(retry_after="7")
    setattr(error, place, answer if place == "response" else answer.headers)
    assert refusal(error).retry_after == "7"


def test_what_routing_acts_on_has_its_code() -> None:
    assert json.loads(refusal(ContextWindowExceededError()).body)["error"]["code"] == "context_length_exceeded"


def test_a_code_of_the_providers_own_is_kept() -> None:
    error = RateLimitError()
    error.code = "quota"  # type: ignore[attr-defined]
    assert json.loads(refusal(error).body)["error"]["code"] == "quota"


def test_a_parameter_that_the_provider_does_not_take_may_be_taken_elsewhere() -> None:
    failure = failure_of(UnsupportedParamsError())
    assert isinstance(failure, Inexpressible)
    assert failure.message == "The provider of this model does not take 'tools'"


@pytest.mark.parametrize("error", [APIConnectionError(), ValueError("secret.test"), MidStreamFallbackError(KeyError())])
def test_an_error_that_is_no_answer_says_nothing_to_the_caller(error: Exception) -> None:
    failure = failure_of(error)
    assert isinstance(failure, UpstreamBroken)
    assert "secret" not in failure.message
    assert failure.operator_detail is not None
    assert failure.operator_detail.startswith("litellm: ")


@pytest.mark.parametrize("status", [None, "429", 200, 700])
def test_a_status_that_is_none_of_an_error_is_no_answer(status: object) -> None:
    error = RateLimitError()
    error.status_code = status  # type: ignore[assignment]
    assert isinstance(failure_of(error), UpstreamBroken)


def test_within_a_stream_the_cause_counts() -> None:
    assert refusal(MidStreamFallbackError(RateLimitError())).status == 429


def test_our_own_errors_stay_what_they_are() -> None:
    error: GatewayError = UpstreamUnreachable()
    assert failure_of(error) is error


def test_an_error_body_is_openais() -> None:
    assert json.loads(error_body("no", code="c")) == {
        "error": {"message": "no", "type": None, "param": None, "code": "c"}
    }
