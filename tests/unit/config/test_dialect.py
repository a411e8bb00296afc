from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pointsman.config.grammar import CALL_TYPES
from pointsman.pipeline.settings import CacheSettings, ServingSettings
from pointsman.upstream.settings import Proxies
from pointsman.wire.operations import OPERATIONS
from pointsman.wire.secret import Secret

if TYPE_CHECKING:
    from unit.config.conftest import Build

DEMO = "model_list: [{model_name: m, litellm_params: {model: demo/small}}]\n"


def test_the_master_key_of_the_document_goes_before_the_environment(build: Build) -> None:
    built = build(DEMO + "general_settings: {master_key: sk-doc}\n", {"LITELLM_MASTER_KEY": "sk-env"})
    assert built.good.access.master_key == Secret("sk-doc")
    assert not built.good.is_master_key_automatic


@pytest.mark.parametrize("name", ["LITELLM_MASTER_KEY", "POINTSMAN_MASTER_KEY"])
@pytest.mark.parametrize("section", ["", "general_settings: {master_key: auto}\n"])
def test_the_environment_gives_the_master_key_when_the_document_names_none(
    build: Build, name: str, section: str
) -> None:
    built = build(DEMO + section, {name: "sk-env"})
    assert built.good.access.master_key == Secret("sk-env")
    assert not built.good.is_master_key_automatic


def test_an_automatic_master_key_is_left_to_who_starts_the_gateway(build: Build) -> None:
    built = build(DEMO + "general_settings: {master_key: auto}\n")
    assert built.good.access.master_key is None
    assert built.good.is_master_key_automatic


def test_no_master_key_at_all_is_allowed(build: Build) -> None:
    built = build(DEMO)
    assert built.good.access.master_key is None
    assert not built.good.is_master_key_automatic


def test_a_master_key_whose_variable_is_unset_stops_the_start(build: Build) -> None:
    built = build(DEMO + "general_settings: {master_key: os.environ/NOWHERE}\n")
    assert built.snapshot is None
    assert "NOWHERE is not set" in built.said("error")[0]


@pytest.mark.parametrize("key", ["1234", "''", "[a]", '"a\\nb"'])
def test_a_master_key_that_cannot_be_one_stops_the_start(build: Build, key: str) -> None:
    assert build(DEMO + f"general_settings: {{master_key: {key}}}\n").snapshot is None


def test_a_master_key_of_the_environment_that_cannot_be_sent_stops_the_start(build: Build) -> None:
    built = build(DEMO, {"LITELLM_MASTER_KEY": "schlüssel"})
    assert built.snapshot is None
    assert "schlüssel" not in built.all()


def test_access_settings_are_filled(build: Build) -> None:
    text = DEMO + (
        "general_settings: {litellm_key_header_name: X-My-Key}\n"
        "litellm_settings: {require_auth_for_metrics_endpoint: false}\n"
    )
    access = build(text).good.access
    assert access.key_header == "X-My-Key"
    assert access.is_metrics_public
    assert not build(DEMO).good.access.is_metrics_public


def test_timeouts_of_the_router_go_before_those_of_the_module(build: Build) -> None:
    both = build(DEMO + "router_settings: {timeout: 5, stream_timeout: 2}\nlitellm_settings: {request_timeout: 9}\n")
    assert (both.good.serving.request_timeout, both.good.serving.stream_timeout) == (5.0, 2.0)
    assert both.good.upstream.timeouts.first_byte == 5.0
    one = build(DEMO + "litellm_settings: {request_timeout: 9000}\n")
    assert one.good.serving.request_timeout == 9000.0
    assert one.good.upstream.timeouts.total == 9000.0


def test_a_request_may_last_as_long_as_its_longest_attempt_unless_it_has_a_deadline(build: Build) -> None:
    assert build(DEMO).good.serving.total_timeout == ServingSettings().total_timeout
    assert build(DEMO + "router_settings: {timeout: 9000}\n").good.serving.total_timeout == 9000.0
    text = DEMO + "router_settings: {timeout: 9000}\npointsman_settings: {request_deadline: 60}\n"
    assert build(text).good.serving.total_timeout == 60.0


def test_without_a_word_serving_has_its_defaults(build: Build) -> None:
    assert build(DEMO).good.serving == ServingSettings()


def test_limits_of_serving_are_filled(build: Build) -> None:
    built = build(
        DEMO
        + """
general_settings:
  cancel_on_disconnect: false
  max_in_flight_requests_per_worker: 64
  admission_queue_timeout_seconds: 0.5
  dangerously_allow_mock_testing_request_params: true
pointsman_settings: {min_chars_per_second: 20}
"""
    )
    assert built.problems == ()
    assert built.good.serving == ServingSettings(
        drains_on_disconnect=True,
        max_in_flight=64,
        queue_timeout=0.5,
        allows_mock_testing=True,
        min_chars_per_second=20.0,
    )
    assert not build(DEMO + "general_settings: {cancel_on_disconnect: true}\n").good.serving.drains_on_disconnect


@pytest.mark.parametrize(
    "text", ["", "cache: false", "cache_params: {type: redis, host: h}", "cache: false, cache_params: {}"]
)
def test_nothing_is_cached_and_nothing_said_of_it_unless_the_cache_is_on(build: Build, text: str) -> None:
    built = build(DEMO + f"litellm_settings: {{{text}}}\n")
    assert built.good.serving.cache is None
    assert built.problems == ()


@pytest.mark.requirement("config.cache")
def test_the_cache_is_filled(build: Build) -> None:
    assert build(DEMO + "litellm_settings: {cache: true}\n").good.serving.cache == CacheSettings()
    built = build(
        DEMO
        + """
litellm_settings:
  cache: "True"
  cache_params:
    type: local
    ttl: 30
    namespace: team-a
    supported_call_types: [acompletion, completion, aembedding]
    mode: default_off
"""
    )
    assert built.problems == ()
    assert built.good.serving.cache == CacheSettings(
        ttl=30.0, namespace="team-a", operations=("chat", "embeddings"), is_opt_in=True
    )


def test_every_call_type_is_one_of_our_operations() -> None:
    assert set(CALL_TYPES.values()) <= {operation.name for operation in OPERATIONS}


def test_an_empty_list_of_call_types_caches_nothing(build: Build) -> None:
    cache = build(
        DEMO + "litellm_settings: {cache: true, cache_params: {supported_call_types: []}}\n"
    ).good.serving.cache
    assert cache == CacheSettings(operations=())


@pytest.mark.parametrize(("kind", "ttl"), [("local", 7.0), ("redis", 9.0)])
def test_the_ttl_of_the_kind_of_cache_goes_first(build: Build, kind: str, ttl: float) -> None:
    given = "ttl: 5, default_in_memory_ttl: 7, default_in_redis_ttl: 9, host: h"
    built = build(DEMO + f"litellm_settings: {{cache: true, cache_params: {{type: {kind}, {given}}}}}\n")
    assert built.good.serving.cache == CacheSettings(ttl=ttl)
    assert built.problems == ()


@pytest.mark.requirement("config.cache")
def test_another_kind_of_cache_is_named_and_memory_is_used(build: Build) -> None:
    text = "{type: s3, host: h, password: Confidential, redis_flush_size: 3, supported_call_types: [atranscription]}"
    built = build(DEMO + f"litellm_settings: {{cache: true, cache_params: {text}}}\n")
    assert built.good.serving.cache == CacheSettings(operations=())
    where = "litellm_settings.cache_params"
    notices = built.said("notice")
    assert f"{where}.type: is not acted on by this version: answers are cached in the memory of each process" in notices
    assert {line.split(": ")[0] for line in notices} == {
        f"{where}.{name}" for name in ("type", "redis_flush_size", "supported_call_types")
    }
    assert "Confidential" not in built.all()


def test_defaults_of_all_deployments_go_below_what_an_entry_says(build: Build) -> None:
    built = build(
        """
model_list:
  - {model_name: a, litellm_params: {model: demo/small}}
  - {model_name: b, litellm_params: {model: demo/small, timeout: 5, temperature: 1}, rpm: 9}
router_settings: {default_litellm_params: {timeout: 30, rpm: 60, temperature: 0, top_k: 4}}
"""
    )
    assert built.problems == ()
    first, second = built.good.deployments
    assert (first.timeout, first.rpm, first.defaults) == (30.0, 60, {"temperature": 0, "top_k": 4})
    assert (second.timeout, second.rpm, second.defaults) == (5.0, 9, {"temperature": 1, "top_k": 4})


def test_a_wrong_default_is_told_once_and_where_it_stands(build: Build) -> None:
    text = DEMO.replace("]", ", {model_name: n, litellm_params: {model: demo/small}}]")
    built = build(text + "router_settings: {default_litellm_params: {timeout: soon}}\n")
    assert built.snapshot is None
    assert built.said("error") == ["router_settings.default_litellm_params.timeout: must be a number, not text"]


def test_an_address_or_a_key_is_never_a_default_of_all_providers(build: Build) -> None:
    text = "router_settings: {default_litellm_params: {api_key: Confidential, api_base: 'http://h/v1'}}\n"
    built = build(DEMO + text)
    assert built.good.deployments == build(DEMO).good.deployments
    assert [line.split(": ")[0] for line in built.said("notice")] == [
        "router_settings.default_litellm_params.api_key",
        "router_settings.default_litellm_params.api_base",
    ]
    assert "Confidential" not in built.all()


def test_sizes_are_given_in_mib(build: Build) -> None:
    built = build(DEMO + "general_settings: {max_request_size_mb: 0.5}\n")
    assert built.good.serving.max_body_bytes == 512 * 1024
    assert build(DEMO).good.serving.max_body_bytes == 64 * 1024 * 1024


def test_proxies_come_from_the_environment_in_both_cases(build: Build) -> None:
    environ = {
        "HTTP_PROXY": "http://upper:1",
        "http_proxy": "http://lower:1",
        "ALL_PROXY": "every:3128",
        "no_proxy": "localhost, .internal,10.0.0.0/8",
    }
    assert build(DEMO, environ).good.upstream.proxies == Proxies(
        http="http://lower:1", https="http://every:3128", no_proxy=("localhost", ".internal", "10.0.0.0/8")
    )


@pytest.mark.parametrize("url", ["socks5://user:Confidential@proxy:1", "http://", "http://proxy:99999999"])
def test_a_proxy_that_cannot_be_used_is_named_and_not_used(build: Build, url: str) -> None:
    built = build(DEMO, {"HTTPS_PROXY": url})
    assert built.good.upstream.proxies.https is None
    assert "HTTPS_PROXY is not used" in built.said("warning")[0]
    assert "Confidential" not in built.all()


def test_certificates_are_checked_unless_told_otherwise(build: Build) -> None:
    assert build(DEMO).good.upstream.verify_tls
    off = build(DEMO + "litellm_settings: {ssl_verify: false}\n")
    assert not off.good.upstream.verify_tls
    assert off.said("warning")
    assert build(DEMO + "litellm_settings: {ssl_verify: /etc/ca.pem}\n").good.upstream.ca_file == "/etc/ca.pem"
    assert build(DEMO, {"SSL_CERT_FILE": "/etc/other.pem"}).good.upstream.ca_file == "/etc/other.pem"


def test_callbacks_that_nobody_hears_are_named(build: Build) -> None:
    assert build(DEMO + "litellm_settings: {callbacks: [prometheus]}\n").problems == ()
    built = build(DEMO + "litellm_settings: {callbacks: [prometheus, langfuse, otel]}\n")
    assert built.said("notice") == [
        "litellm_settings.callbacks: asks for something that this version does not act on (2 of its entries)"
    ]


def test_sections_that_are_not_acted_on_are_named_once_by_path(build: Build) -> None:
    text = DEMO + (
        "guardrails: [{guardrail_name: a}, {guardrail_name: b}]\nprompts: {x: {url: 'http://x'}}\nsearch_tools: []\n"
        "router_settings: {set_verbose: true, debug_level: INFO}\n"
    )
    paths = [line.split(": ")[0] for line in build(text).said("notice")]
    assert paths == [
        "guardrails",
        "prompts",
        "search_tools",
        "router_settings.set_verbose",
        "router_settings.debug_level",
    ]


def test_a_document_without_models_starts_with_a_warning(build: Build) -> None:
    built = build("general_settings: {}\n")
    assert built.good.deployments == ()
    assert "gives no model that can be served" in built.said("warning")[0]


@pytest.mark.parametrize(
    "text",
    [
        "credential_list: [1]\n",
        "credential_list: [{}]\n",
        "credential_list: [{credential_name: 3}]\n",
        "credential_list: [{credential_name: a, credential_values: [1]}]\n",
        "router_settings: [1]\n",
        "general_settings: text\n",
        "litellm_settings: {request_timeout: soon}\n",
        "general_settings: {max_request_size_mb: 0}\n",
        "general_settings: {max_in_flight_requests_per_worker: 0}\n",
        "pointsman_settings: {request_deadline: 0}\n",
        "litellm_settings: {cache: true, cache_params: [local]}\n",
        "litellm_settings: {cache: true, cache_params: {ttl: 0}}\n",
        "litellm_settings: {cache: true, cache_params: {mode: maybe}}\n",
        "router_settings: {default_litellm_params: 3}\n",
    ],
)
def test_sections_of_the_wrong_shape_are_errors(build: Build, text: str) -> None:
    assert build(DEMO + text).snapshot is None


def test_a_credential_name_that_stands_twice_is_pointed_out(build: Build) -> None:
    text = DEMO + "credential_list: [{credential_name: a}, {credential_name: a, credential_values: {api_key: k}}]\n"
    assert "stands twice in credential_list" in build(text).said("warning")[0]


def test_no_problem_ever_holds_a_secret(build: Build) -> None:
    secret = "Confidential"
    text = f"""
model_list:
  - model_name: a
    litellm_params: {{model: azure/x, api_key: "{secret}\\n{secret}"}}
  - model_name: b
    litellm_params: {{model: os.environ/HIDDEN, api_bse: "{secret}", api_base: "http://u:{secret}@h/v1"}}
  - model_name: os.environ/HIDDEN
    litellm_params: {{model: os.environ/HIDDEN, extra_headers: {{x-key: "{secret}\\n"}}}}
  - model_name: c
    litellm_params: {{model: os.environ/HIDDEN, rpm: "{secret}", my_password: {secret}}}
general_settings: {{master_key: "{secret}\\n{secret}", database_url: "postgres://u:{secret}@h"}}
router_settings: {{redis_password: {secret}, timeout: {secret}}}
"""
    built = build(text, {"HIDDEN": f"{secret}/x", "ALL_PROXY": f"socks5://{secret}@h"})
    assert built.snapshot is None
    assert secret not in built.all()
