from __future__ import annotations

import re
from decimal import Decimal

import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam
from system.conftest import MASTER_KEY, UPSTREAM_KEY
from system.process import Gateway
from system.upstream.server import FakeUpstream

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
BODY = {"model": "house-chat", "messages": HELLO}


@pytest.mark.requirement("headers.reply", "headers.withheld")
@pytest.mark.parametrize("stream", [False, True])
def test_a_reply_says_who_served_it_and_what_it_cost(gateway: Gateway, upstream: FakeUpstream, *, stream: bool) -> None:
    reply = gateway.post("/v1/chat/completions", BODY | {"stream": stream})
    assert reply.header("x-request-id")
    assert reply.header("x-litellm-call-id") == reply.header("x-request-id")
    assert reply.header("x-litellm-model-id") == "house-chat-1"
    assert reply.header("x-litellm-model-group") == "house-chat"
    assert reply.header("x-litellm-model-api-base") == upstream.base_url
    assert (reply.header("x-litellm-version") or "").startswith("pointsman-")
    assert float(reply.header("x-litellm-overhead-duration-ms") or "-1") >= 0
    cost = reply.header("x-litellm-response-cost")
    assert stream or Decimal(cost or "0") > 0
    names = [name for name, _ in reply.headers]
    assert not {"set-cookie", "server", "openai-organization"} & set(names)
    assert names.count("x-request-id") == 1


@pytest.mark.requirement("headers.reply")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"),
        ("GET", "/health/liveliness"),
        ("GET", "/metrics"),
        ("GET", "/nowhere"),
        ("PUT", "/v1/models"),
        ("POST", "/v1/chat/completions"),
    ],
)
def test_every_answer_has_a_request_id_and_the_version(gateway: Gateway, method: str, path: str) -> None:
    reply = gateway.request(method, path)
    assert reply.header("x-request-id")
    assert reply.header("x-litellm-version")


@pytest.mark.requirement("headers.reply")
def test_a_request_id_that_the_caller_gave_comes_back(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="house-chat", messages=HELLO, extra_headers={"x-request-id": "my-id:7"}
    )
    assert answer._request_id == "my-id:7"


@pytest.mark.requirement("headers.rate-limits")
@pytest.mark.parametrize("stream", [False, True])
def test_the_upstreams_rate_limits_are_passed_on_under_a_prefix(gateway: Gateway, *, stream: bool) -> None:
    reply = gateway.post("/v1/chat/completions", BODY | {"stream": stream})
    assert reply.header("llm_provider-x-ratelimit-remaining-requests") == "499"
    assert reply.header("llm_provider-x-ratelimit-reset-requests") == "120ms"
    assert reply.header("llm_provider-openai-processing-ms") == "42"
    assert reply.header("llm_provider-x-request-id") == "req_upstream"
    assert reply.header("llm_provider-set-cookie") is None


@pytest.mark.requirement("metrics")
def test_metrics_count_requests_tokens_and_spend_under_litellms_names(gateway: Gateway) -> None:
    names = (
        "litellm_proxy_total_requests_metric_total",
        "litellm_input_tokens_metric_total",
        "litellm_output_tokens_metric_total",
        "litellm_total_tokens_metric_total",
        "litellm_spend_metric_total",
        "litellm_deployment_success_responses_total",
        "litellm_request_total_latency_metric_count",
        "litellm_llm_api_latency_metric_count",
        "litellm_overhead_latency_metric_count",
    )
    before = [gateway.metric(name) for name in names]
    gateway.post("/v1/chat/completions", BODY)
    gateway.post("/v1/chat/completions", BODY | {"stream": True})
    grown = [round(gateway.metric(name) - old, 9) for name, old in zip(names, before, strict=True)]
    assert grown[1:4] == [22, 12, 34]
    assert grown[4] > 0
    assert grown[5:] == [2, 2, 2, 2]


@pytest.mark.requirement("metrics")
def test_usage_that_the_client_did_not_ask_for_is_counted(gateway: Gateway) -> None:
    before = gateway.metric("litellm_total_tokens_metric_total")
    gateway.post("/v1/chat/completions", {"model": "fake/uncounted", "messages": HELLO, "stream": True})
    assert gateway.metric("litellm_total_tokens_metric_total") - before == 17


@pytest.mark.requirement("metrics")
def test_metrics_name_no_key_address_or_made_up_model(gateway: Gateway, upstream: FakeUpstream) -> None:
    for n in range(5):
        gateway.post("/v1/chat/completions", {"model": f"fake/made-up-{n}", "messages": HELLO})
        gateway.post("/v1/chat/completions", BODY | {"model": f"unknown-{n}"}, {"user-agent": f"agent-{n}"})
        gateway.get(f"/no/such/path-{n}", key=f"sk-wrong-canary-{n}")
    reply = gateway.get("/metrics")
    text = reply.body.decode()
    assert (reply.header("content-type") or "").startswith("text/plain; version=")
    assert "# TYPE litellm_proxy_total_requests_metric_total counter" in text or (
        "# TYPE litellm_proxy_total_requests_metric counter" in text
    )
    for forbidden in (MASTER_KEY, UPSTREAM_KEY, "canary", upstream.address, "made-up", "unknown-", "agent-", "path-"):
        assert forbidden not in text
    assert not re.search(r'="[^"]*127\.0\.0\.1', text)


@pytest.mark.requirement("metrics")
def test_no_request_is_in_flight_when_none_is(gateway: Gateway) -> None:
    # The scrape itself is the one.
    assert gateway.metric("litellm_in_flight_requests") == 1


@pytest.mark.requirement("health.live")
def test_health_asks_every_upstream(gateway: Gateway) -> None:
    answer = gateway.get("/health").json
    assert answer["healthy_count"] == len(answer["healthy_endpoints"]) > 0
    assert [one["model_name"] for one in answer["unhealthy_endpoints"]] == ["down"]
    assert UPSTREAM_KEY not in str(answer)


@pytest.mark.requirement("health.live")
def test_health_can_be_asked_about_one_model(gateway: Gateway) -> None:
    answer = gateway.get("/health?model=house-chat").json
    assert (answer["healthy_count"], answer["unhealthy_count"]) == (1, 0)


@pytest.mark.requirement("health.probes")
def test_probes_need_no_key(gateway: Gateway) -> None:
    for path in ("/health/liveliness", "/health/liveness"):
        reply = gateway.get(path, key="wrong")
        assert (reply.status, reply.json) == (200, "I'm alive!")
    ready = gateway.get("/health/readiness", {"authorization": ""})
    assert ready.status == 200
    assert ready.json["status"] == "healthy"


@pytest.mark.requirement("health.probes", "keys.headers")
@pytest.mark.parametrize("path", ["/health", "/metrics", "/v1/models", "/model/info"])
def test_everything_else_needs_one(gateway: Gateway, path: str) -> None:
    reply = gateway.get(path, {"authorization": ""})
    assert reply.status == 401
    assert reply.json == {
        "error": {"message": "Invalid API key", "type": "authentication_error", "code": "invalid_api_key"}
    }
    assert reply.header("www-authenticate") == "Bearer"


@pytest.mark.requirement("keys.headers")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("authorization", f"Bearer {MASTER_KEY}"),
        ("authorization", f"bearer  {MASTER_KEY}"),
        ("x-api-key", MASTER_KEY),
        ("api-key", MASTER_KEY),
        ("x-litellm-api-key", MASTER_KEY),
        ("x-litellm-api-key", f"Bearer {MASTER_KEY}"),
    ],
)
def test_the_key_is_taken_from_each_customary_header(gateway: Gateway, name: str, value: str) -> None:
    assert gateway.get("/v1/models", {"authorization": "", name: value}).status == 200


@pytest.mark.requirement("keys.headers")
@pytest.mark.parametrize("value", ["Bearer", "Bearer ", "Basic c2s=", MASTER_KEY[:-1], MASTER_KEY + "x", "ü"])
@pytest.mark.parametrize("name", ["authorization", "x-api-key", "api-key", "x-litellm-api-key"])
def test_a_key_that_is_not_ours_is_refused(gateway: Gateway, name: str, value: str) -> None:
    reply = gateway.get("/v1/models", {"authorization": "", name: value})
    assert reply.status == 401
    assert reply.error["code"] == "invalid_api_key"
