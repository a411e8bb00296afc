from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from pointsman.errors import GatewayError, UpstreamBroken, UpstreamRejected, UpstreamTimeout
from pointsman.providers.failures import (
    Complaint,
    classify,
    classify_inside,
    holds_error,
    is_retryable,
    read_complaint,
    read_retry_after,
)

ADDRESS = "https://llm.example.org:8443/v1"
SECRET = "sk-up-0123456789"
NOW = 1_700_000_000.0


def failed(status: int, body: Any, headers: list[tuple[bytes, bytes]] | None = None) -> GatewayError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return classify(status, headers or [], raw, secrets=(SECRET,), address=ADDRESS, now=NOW)


def test_openais_error_keeps_status_type_code_and_param() -> None:
    error = failed(
        400,
        {"error": {"message": "Too long", "type": "invalid_request_error", "param": "messages",
                   "code": "context_length_exceeded"}},
    )  # fmt: skip
    assert isinstance(error, UpstreamRejected)
    assert (error.status, error.kind, error.code, error.param, error.message) == (
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "messages",
        "Too long",
    )
    assert not error.is_retryable


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": "text"}, Complaint(message="text")),
        ({"error": "text", "code": "x", "type": "t"}, Complaint(message="text", code="x", kind="t")),
        ({"detail": "Not Found"}, Complaint(message="Not Found")),
        ({"detail": {"error": {"message": "m", "code": "c"}}}, Complaint(message="m", code="c")),
        (
            {"detail": [{"loc": ["body", "messages", 0], "msg": "field required", "type": "missing"}]},
            Complaint(message="messages.0: field required", param="messages.0"),
        ),
        ({"id": "1", "message": "invalid request"}, Complaint(message="invalid request")),
        ({"Message": "not authorized"}, Complaint(message="not authorized")),
        (
            {"object": "error", "message": "bad", "type": "invalid", "param": None, "code": "3280"},
            Complaint(message="bad", kind="invalid", code="3280"),
        ),
        (
            {"message": {"detail": [{"loc": ["body", "n"], "msg": "too big"}]}, "type": "t"},
            Complaint(message="n: too big", kind="t", param="n"),
        ),
        (
            [{"error": {"code": 400, "message": "API key not valid", "status": "INVALID_ARGUMENT"}}],
            Complaint(message="API key not valid", status=400),
        ),
        (
            {"error": {"message": "m", "type": "None", "param": "None", "code": "400"}},
            Complaint(message="m", status=400),
        ),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
         Complaint(message="Overloaded", kind="overloaded_error")),
        ({"errors": ["first", "second"]}, Complaint(message="first")),
        ("only text", Complaint(message="only text")),
        (
            {"error": {"code": 429, "message": "quota", "details": [
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}]}},
            Complaint(message="quota", status=429, retry_after=34.5),
        ),
    ],
)  # fmt: skip
def test_every_vendors_shape_is_read(body: Any, expected: Complaint) -> None:
    assert read_complaint(json.dumps(body).encode()) == expected


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>502</html>", b"null", b"7", b"{}", b"[]", b'{"error": null}', b'{"detail": []}', b"[" * 9000,
     b'{"error": ' * 3000, b'{"detail": {"detail": {"detail": {"detail": {"detail": "deep"}}}}}', b"\xff\xfe"],
)  # fmt: skip
def test_bodies_that_say_nothing_give_nothing(body: bytes) -> None:
    assert read_complaint(body) is None


@pytest.mark.parametrize("status", [301, 302, 307, 308, 204, 101, 600])
def test_a_redirect_or_a_strange_status_is_a_broken_upstream(status: int) -> None:
    error = failed(status, b"", [(b"location", b"https://elsewhere.example.org/")])
    assert isinstance(error, UpstreamBroken)
    assert error.status == 502
    assert "elsewhere" not in error.message


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_is_told_as_the_operators(status: int) -> None:
    error = failed(status, {"error": {"message": f"Incorrect API key provided: {SECRET}", "code": "invalid_api_key"}})
    assert error.status == status
    assert error.code == "upstream_credential_refused"
    assert "operator" in error.message
    assert SECRET not in error.message
    assert SECRET not in (error.operator_detail or "")
    assert "Incorrect API key" in (error.operator_detail or "")


def test_a_403_about_content_is_about_content() -> None:
    error = failed(403, {"error": {"message": "m requires moderation. Your input was flagged for violence"}})
    assert error.code == "content_policy_violation"
    assert "flagged" in error.message


def test_408_is_a_timeout_and_407_a_broken_path() -> None:
    timeout = failed(408, {"error": {"message": "slow"}}, [(b"retry-after", b"2")])
    assert isinstance(timeout, UpstreamTimeout)
    assert (timeout.status, timeout.retry_after, timeout.is_retryable) == (504, 2.0, True)
    assert isinstance(failed(407, b""), UpstreamBroken)


@pytest.mark.parametrize(
    ("status", "shown", "kind"),
    [
        (400, 400, "invalid_request_error"),
        (402, 402, "billing_error"),
        (404, 404, "invalid_request_error"),
        (409, 409, "invalid_request_error"),
        (413, 413, "invalid_request_error"),
        (422, 422, "invalid_request_error"),
        (429, 429, "rate_limit_error"),
        (500, 500, "upstream_error"),
        (502, 502, "upstream_error"),
        (503, 503, "service_unavailable_error"),
        (504, 504, "timeout_error"),
        (529, 503, "service_unavailable_error"),
    ],
)
def test_html_keeps_its_status_and_loses_its_text(status: int, shown: int, kind: str) -> None:
    error = failed(status, b"<html><body>nginx at 10.0.0.7</body></html>")
    assert (error.status, error.kind) == (shown, kind)
    assert str(status) in error.message
    assert "nginx" not in error.message
    assert error.is_retryable == is_retryable(status)


def test_which_statuses_may_be_tried_again() -> None:
    statuses = (400, 401, 404, 408, 409, 422, 429, 500, 503, 529)
    assert [status for status in statuses if is_retryable(status)] == [408, 409, 429, 500, 503, 529]


@pytest.mark.parametrize(
    ("status", "text", "code"),
    [
        (400, "This model's maximum context length is 8192 tokens.", "context_length_exceeded"),
        (400, "prompt is too long: 200001 tokens > 200000 maximum", "context_length_exceeded"),
        (
            400,
            "The input token count (1048577) exceeds the maximum number of tokens",
            "context_length_exceeded",
        ),
        (400, "This model's maximum prompt length is 131072 but", "context_length_exceeded"),
        (400, "too many tokens: total number of tokens", "context_length_exceeded"),
        (400, "Input Tokens Exceeded: Number of input tokens exceeds maximum length.", "context_length_exceeded"),
        (400, "Too many input tokens. Max input tokens: 8192, request input token", "context_length_exceeded"),
        (400, "Your input exceeds the context window of this model.", "context_length_exceeded"),
        (413, "Please reduce the length of the messages or completion.", "context_length_exceeded"),
        (500, "the request exceeds the available context size.", "context_length_exceeded"),
        (400, "Output blocked by content filtering policy", "content_policy_violation"),
        (400, "Content Exists Risk", "content_policy_violation"),
        (400, "Your request was rejected as a result of our safety system.", "content_policy_violation"),
        (404, "The model `x` does not exist", "model_not_found"),
        (404, "model 'llama9' not found", "model_not_found"),
        (429, "slow down", "rate_limit_exceeded"),
        (400, "temperature is out of range", None),
        (404, "no such file", None),
    ],
)
def test_a_missing_code_is_found_in_the_words(status: int, text: str, code: str | None) -> None:
    assert failed(status, {"error": {"message": text}}).code == code


def test_a_given_code_is_never_replaced() -> None:
    error = failed(429, {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}})
    assert error.code == "insufficient_quota"


def test_no_part_of_the_error_shows_key_or_address() -> None:
    error = failed(
        400,
        {"error": {"message": f"{SECRET} at llm.example.org:8443", "type": SECRET, "code": f"c {SECRET}",
                   "param": "https://llm.example.org:8443/v1"}},
    )  # fmt: skip
    shown = f"{error.message} {error.kind} {error.code} {error.param} {error!r} {error}"
    assert SECRET not in shown
    assert "llm.example.org" not in shown
    assert "llm.example.org" in (error.operator_detail or "")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([(b"retry-after", b"7")], 7.0),
        ([(b"retry-after", b"0.5")], 0.5),
        ([(b"retry-after-ms", b"1500"), (b"retry-after", b"9")], 1.5),
        ([(b"retry-after", b"Tue, 14 Nov 2023 22:14:20 GMT")], 60.0),
        ([(b"retry-after", b"Tue, 14 Nov 2023 22:00:00 GMT")], 0.0),
        ([(b"retry-after", b"999999999")], 86_400.0),
        ([(b"retry-after", b"nan")], None),
        ([(b"retry-after", b"-1")], None),
        ([(b"retry-after", b"soon")], None),
        ([(b"retry-after", b"\xff\xfe")], None),
        ([], None),
    ],
)
def test_retry_after_is_seconds_whatever_form_it_has(headers: list[tuple[bytes, bytes]], seconds: float | None) -> None:
    assert read_retry_after(headers, now=NOW) == seconds


def test_googles_retry_delay_is_used_without_a_header() -> None:
    body = {"error": {"code": 429, "message": "quota", "details": [{"retryDelay": "3s"}]}}
    assert failed(429, body).retry_after == 3.0


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"error": {"message": "m"}}', True),
        (b'{"error": "m"}', True),
        (b'{"id": "x", "error": null}', False),
        (b'{"error": {}}', False),
        (b'{"error": ""}', False),
        (b'{"choices": [{"error": {"message": "m"}}]}', False),
        (b'{"object": "response", "status": "failed", "error": {"message": "m"}}', False),
        (b'{"error": ', False),
        (b'["error"]', False),
        (b"[DONE]", False),
    ],
)
def test_an_error_inside_a_200_is_recognised(body: bytes, expected: bool) -> None:
    assert holds_error(body) is expected


def test_an_error_inside_a_200_has_the_status_it_names() -> None:
    error = classify_inside(
        b'{"error": {"message": "Rate limited at 10.0.0.1", "code": 429}}', secrets=(), address=ADDRESS
    )
    assert error is not None
    assert (error.status, error.code, error.message) == (
        429,
        "rate_limit_exceeded",
        "Rate limited at [address]",
    )


def test_an_error_inside_a_200_without_a_status_is_a_502() -> None:
    error = classify_inside(b'{"error": {"message": "boom"}}', secrets=(), address=ADDRESS)
    assert error is not None
    assert error.status == 502
    assert error.is_retryable
    assert classify_inside(b'{"choices": []}', secrets=(), address=ADDRESS) is None


@pytest.mark.parametrize(
    ("status", "message", "shown", "code"),
    [
        (400, "API key not valid. Please pass a valid API key.", 401, "upstream_credential_refused"),
        (400, "Your credit balance is too low to access the Anthropic API.", 402, None),
        (404, "model: claude-9", 404, "model_not_found"),
        (404, "no such page", 404, None),
        (400, "temperature: too high", 400, None),
    ],
)
def test_what_some_vendors_call_a_bad_request_is_what_others_call_it(
    status: int, message: str, shown: int, code: str | None
) -> None:
    body = msgspec.json.encode({"error": {"message": message}})
    error = classify(status, [], body, secrets=(), address="up.test", now=0.0)
    assert (error.status, error.code) == (shown, code)
