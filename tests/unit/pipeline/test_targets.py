from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from pointsman import __version__
from pointsman.pipeline.targets import credentials
from pointsman.providers.base import ModelFacts, Price
from pointsman.wire import operations as op
from pointsman.wire.secret import Secret

Make = Callable[..., Any]
KNOWN = Price(input_usd_per_token=Decimal(1))


@pytest.fixture
def target(make_rig: Make, deployment: Make) -> Make:
    def make(*args: Any, models: Any = None, **more: Any) -> Any:
        return make_rig(deployment(*args, **more), models=models).target

    return make


def test_a_head_has_address_credential_and_what_the_deployment_adds(target: Make) -> None:
    one = target(headers=(("OpenAI-Organization", "org"),))
    assert one.head(op.CHAT, {b"cookie": b"a=b", b"authorization": b"Bearer sk-caller"}, is_stream=False).split(
        b"\r\n"
    ) == [
        b"POST /v1/chat/completions HTTP/1.1",
        b"host: up.test",
        b"user-agent: pointsman/%b" % __version__.encode(),
        b"accept: */*",
        b"authorization: Bearer sk-upstream-canary-93ab",
        b"openai-organization: org",
        b"content-type: application/json",
        b"",
    ]


def test_a_vendor_says_how_it_takes_its_key(target: Make, deployment: Make) -> None:
    vendor = msgspec.structs.replace(deployment().vendor, key_header="api-key", key_prefix="")
    one = target()
    one = type(one)(msgspec.structs.replace(one.deployment, vendor=vendor), one.upstream, one.timeouts, None, {})
    head = one.head(op.CHAT, {}, is_stream=False)
    assert b"\r\napi-key: sk-upstream-canary-93ab\r\n" in head
    assert b"authorization" not in head


def test_without_a_credential_none_is_sent(target: Make) -> None:
    assert b"authorization" not in target(credential=None).head(op.CHAT, {}, is_stream=False)


def test_a_head_is_the_same_for_each_request_but_for_what_the_caller_passes_on(target: Make) -> None:
    one = target()
    plain = one.head(op.CHAT, {}, is_stream=False)
    assert one.head(op.CHAT, {b"traceparent": b"00-1"}, is_stream=False) == plain + b"traceparent: 00-1\r\n"
    assert one.head(op.CHAT, {}, is_stream=False) == plain
    assert one.head(op.EMBEDDINGS, {}, is_stream=False).startswith(b"POST /v1/embeddings HTTP/1.1\r\n")


def test_only_headers_that_concern_the_upstream_are_passed_on(target: Make) -> None:
    given = {
        b"openai-beta": b"1",
        b"idempotency-key": b"2",
        b"traceparent": b"3",
        b"tracestate": b"4",
        b"authorization": b"secret",
        b"cookie": b"secret",
        b"x-forwarded-for": b"10.0.0.1",
    }
    # A key for repetitions is kept here: a retry must not be given the upstream's failure again.
    one = target()
    plain = one.head(op.CHAT, {}, is_stream=False)
    lines = one.head(op.CHAT, given, is_stream=False).removeprefix(plain).splitlines()
    assert sorted(lines) == [b"openai-beta: 1", b"traceparent: 3", b"tracestate: 4"]


def test_an_upload_keeps_the_boundary_of_its_form(target: Make) -> None:
    head = target().upload_head(op.TRANSCRIPTION, {b"content-type": b"multipart/form-data; boundary=x"}, "up-1")
    assert head.startswith(b"POST /v1/audio/transcriptions HTTP/1.1\r\n")
    assert head.endswith(b"content-type: multipart/form-data; boundary=x\r\n")
    assert b"application/json" not in head


def test_the_probe_asks_for_the_models_with_the_credential(target: Make) -> None:
    head = target(base_url="http://up.test/v1?a=b").probe_head()
    assert head.startswith(b"GET /v1/models HTTP/1.1\r\nhost: up.test\r\n")
    assert b"authorization: Bearer sk-upstream-canary-93ab\r\n" in head


@pytest.mark.parametrize("text", ["a\r\nx-evil: 1", "a\nb", "a\0b"])
def test_a_header_with_a_line_break_is_refused(target: Make, text: str) -> None:
    with pytest.raises(ValueError, match="HTTP does not allow"):
        target(headers=(("x-tag", text),))


def test_credentials_are_the_key_and_header_values_long_enough_to_be_one(deployment: Make) -> None:
    one = deployment(headers=(("x-token", "tenant-12345678"), ("x-auth", "Bearer longlonglong"), ("x-team", "red")))
    assert credentials(one) == (
        "sk-upstream-canary-93ab",
        "tenant-12345678",
        "Bearer longlonglong",
        "longlonglong",
    )


def test_a_deployments_timeout_is_for_the_whole_answer_and_for_the_first_byte_of_a_stream(target: Make) -> None:
    one = target(timeout=7.0)
    assert (one.timeouts.first_byte, one.timeouts.total) == (7.0, 7.0)
    assert (one.stream_timeouts.first_byte, one.stream_timeouts.total) == (7.0, 6000.0)
    own = target(timeout=7.0, stream_timeout=3.0)
    assert own.stream_timeouts.first_byte == 3.0
    none = target()
    assert (none.timeouts.first_byte, none.stream_timeouts.first_byte) == (60.0, 60.0)


@pytest.mark.parametrize(
    ("own", "captured", "price"),
    [
        (Price(), "gpt-4o", KNOWN),
        (Price(), "unheard-of", Price()),
        (Price(), None, Price()),
        (Price(input_usd_per_token=Decimal(2)), "gpt-4o", Price(input_usd_per_token=Decimal(2))),
    ],
)
def test_a_wildcards_price_is_its_own_or_that_of_the_model_it_stands_for(
    target: Make, own: Price, captured: str | None, price: Price
) -> None:
    models = {"openai": {"gpt-4o": ModelFacts(vendor="openai", model="gpt-4o", price=KNOWN)}}
    assert target("openai/*", "*", price=own, models=models).price(captured) == price


def test_a_wildcard_takes_in_as_much_as_the_model_that_it_stands_for(target: Make) -> None:
    models = {"openai": {"gpt-4o": ModelFacts(vendor="openai", model="gpt-4o", max_input_tokens=128_000)}}
    wild = target("openai/*", "*", models=models)
    assert [wild.window(name) for name in ("gpt-4o", "unheard-of", None)] == [128_000, None, None]
    assert target("openai/*", "*", models=models, max_input_tokens=5).window("gpt-4o") == 5
    assert target(max_input_tokens=7).window(None) == 7


def test_lines_that_name_a_model_are_kept_only_for_configured_names(target: Make) -> None:
    one = target()
    assert one.named_lines("house", True, True) is one.named_lines("house", True, True)
    assert one.named_lines("any/1", True, False) is not one.named_lines("any/1", True, False)


def test_a_name_in_a_header_cannot_break_out_of_it(target: Make) -> None:
    lines = target().named_lines("fake/\r\nx-evil: 1\u00e9", False, False)
    assert lines == b"x-litellm-model-id: house-id\r\nx-litellm-model-group: fake/??x-evil: 1?\r\n"


def test_each_name_and_operation_has_one_meter(target: Make) -> None:
    one = target()
    meter = one.meter("house", op.CHAT)
    assert one.meter("house", op.CHAT) is meter
    assert one.meter("house", op.EMBEDDINGS) is not meter
    assert (meter.requested_model, meter.model, meter.model_id, meter.api_provider, meter.route) == (
        "house",
        "up-1",
        "house-id",
        "openai",
        "/v1/chat/completions",
    )


def test_a_head_for_what_is_about_no_model_stands_at_the_root_of_the_api(target: Make) -> None:
    one = target()
    head = one.root_head(b"GET", "/batches?limit=1", None)
    assert head.startswith(b"GET /v1/batches?limit=1 HTTP/1.1\r\nhost: up.test\r\n")
    assert b"authorization: Bearer sk-upstream-canary-93ab\r\n" in head
    assert b"content-type" not in head
    assert one.root_head(b"POST", "/files", "x/y").endswith(b"content-type: x/y\r\n")


@pytest.mark.parametrize(
    ("base", "root", "model"),
    [
        ("", "/openai/v1", "mine"),
        ("/openai", "/openai/v1", "mine"),
        ("/openai/v1/", "/openai/v1", "mine"),
        ("/team-a/", "/team-a/openai/v1", "mine"),
        ("/openai/deployments/own", "/openai/v1", "own"),
        ("/openai/deployments/own/chat/completions", "/openai/v1", "own"),
    ],
)
def test_batches_of_azure_are_run_at_the_v1_api_of_the_resource_by_the_name_of_the_deployment(
    target: Make, base: str, root: str, model: str
) -> None:
    one = target(vendor="azure", base_url=f"https://house.openai.azure.com{base}", upstream_model="gpt5_series/mine")
    assert one.root_head(b"GET", "/batches", None).startswith(b"GET %b/batches HTTP/1.1\r\n" % root.encode())
    assert one.batch_model == model
    assert one.batch_place == f"house.openai.azure.com{root} {model}"


@pytest.mark.parametrize(
    "changes",
    [
        {"runs_batches": False},
        {"defaults": {"temperature": 0}},
        {"overrides": {"store": False}},
        {"dropped_params": ("user",)},
        {"merges_reasoning": True},
        {"mode": "responses"},
        {"vendor": "groq"},
        {"upstream_model": "*"},
        {"mock_response": "x"},
    ],
)
def test_a_provider_runs_no_batches_of_what_it_would_get_otherwise_than_it_was_sent(
    target: Make, changes: dict[str, Any]
) -> None:
    assert target(runs_batches=True, vendor="openai").runs_batches(op.CHAT)
    assert target(runs_batches=True, vendor="openai", drops_params=True).runs_batches(op.CHAT)
    assert not target(**{"runs_batches": True, "vendor": "openai"} | changes).runs_batches(op.CHAT)


def test_message_batches_are_run_below_the_messages_of_anthropics_wire(target: Make) -> None:
    one = target(runs_batches=True, vendor="anthropic")
    assert one.runs_batches(op.MESSAGES)
    assert one.runs_batches(op.CHAT)
    assert not one.runs_batches(op.RESPONSES)
    assert not target(runs_batches=True, vendor="anthropic", defaults={"top_k": 1}).runs_batches(op.MESSAGES)
    assert (one.batch_api, one.batch_place) == ("anthropic", "up.test/v1/messages up-1")
    head = one.root_head(b"GET", "/batches?limit=1", None)
    assert head.startswith(b"GET /v1/messages/batches?limit=1 HTTP/1.1\r\nhost: up.test\r\n")
    assert b"\r\nanthropic-version: 2023-06-01\r\n" in head
    beta = {b"anthropic-beta": b"some-beta", b"x-pointsman-region": b"eu"}
    head = one.root_head(b"POST", "/batches", "x/y", beta)
    assert b"\r\nanthropic-beta: some-beta\r\n" in head
    assert b"x-pointsman" not in head


@pytest.mark.parametrize(("base", "root"), [("", ""), ("/v1beta", ""), ("/v1beta/", ""), ("/team-a/v1", "/team-a")])
def test_batches_of_gemini_are_put_into_its_words_and_run_below_where_its_versions_begin(
    target: Make, base: str, root: str
) -> None:
    one = target(runs_batches=True, vendor="gemini", base_url=f"https://google.test{base}")
    assert one.runs_batches(op.CHAT)
    assert one.runs_batches(op.MESSAGES)
    assert not one.runs_batches(op.EMBEDDINGS)
    assert not one.runs_batches(op.GENERATE_CONTENT)
    assert not target(runs_batches=True, vendor="gemini", defaults={"top_k": 1}).runs_batches(op.CHAT)
    assert (one.batch_api, one.batch_place) == ("gemini", f"google.test{root} up-1")
    head = one.root_head(b"GET", "/v1beta/batches", None)
    assert head.startswith(b"GET %b/v1beta/batches HTTP/1.1\r\n" % root.encode())
    assert b"x-goog-api-key: " in head


def test_a_credential_is_known_by_a_digest_that_tells_nothing_of_it(target: Make) -> None:
    one, same, other = target(), target(upstream_model="up-2"), target(credential=Secret("sk-of-another-project"))
    project = target(headers=(("OpenAI-Project", "proj_batches"),))
    assert one.credential_digest == same.credential_digest
    assert len({one.credential_digest, other.credential_digest, project.credential_digest}) == 3
    assert re.fullmatch("[0-9a-f]{16}", one.credential_digest)


def test_of_the_clouds_only_azure_runs_batches(target: Make) -> None:
    one = target(runs_batches=True, vendor="azure", base_url="https://house.services.ai.azure.com")
    assert one.runs_batches(op.CHAT)
    vendor = msgspec.structs.replace(one.deployment.vendor, cloud="azure_ai")
    one = type(one)(msgspec.structs.replace(one.deployment, vendor=vendor), one.upstream, one.timeouts, None, {})
    assert one.batch_place is None
    assert not one.runs_batches(op.CHAT)
    claude = msgspec.structs.replace(one.deployment, upstream_model="claude-x")
    one = type(one)(claude, one.upstream, one.timeouts, None, {})
    assert (one.batch_place, one.batch_api) == (None, "")
    assert not one.runs_batches(op.MESSAGES)
    one = type(one)(
        msgspec.structs.replace(one.deployment, vendor=vendor, upstream_model="claude-x"),
        one.upstream,
        one.timeouts,
        None,
        {},
    )
    assert (one.batch_place, one.batch_api) == (None, "")
    assert not one.runs_batches(op.MESSAGES)
