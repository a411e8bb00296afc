from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from pointsman.providers.base import Deployment
from pointsman.wire.secret import Secret

if TYPE_CHECKING:
    from unit.config.conftest import Build, Built

KEY = {"OPENAI_API_KEY": "sk-env"}


def _entry(params: str, name: str = "m", info: str = "") -> str:
    text = f"model_list:\n  - model_name: '{name}'\n    litellm_params: {{{params}}}\n"
    return text + (f"    model_info: {{{info}}}\n" if info else "")


def _only(built: Built) -> Deployment:
    assert len(built.good.deployments) == 1, built.all()
    return built.good.deployments[0]


def test_an_entry_becomes_a_deployment_with_everything_it_says(build: Build) -> None:
    text = """
model_list:
  - model_name: chat
    litellm_params:
      model: openai/gpt-4o
      api_key: sk-one
      api_base: https://eu.example/v1/
      organization: org-1
      timeout: 30
      stream_timeout: "5"
      rpm: 60
      tpm: 1000
      weight: 0.5
      order: 2
      max_parallel_requests: 8
      num_retries: 1
      cooldown_time: 20
      on_disconnect: drain_for_usage
      min_chars_per_second: 12
      tags: [paid, eu]
      extra_headers: {x-team: a}
      extra_body: {service_tier: flex}
      temperature: 0
      top_k: 40
      mock_response: hello
      input_cost_per_token: 3e-06
    model_info:
      id: my-id
      mode: chat
      max_tokens: 100
      owner: me
"""
    deployment = _only(build(text))
    assert deployment.id == "my-id"
    assert (deployment.model_name, deployment.vendor.name, deployment.upstream_model) == ("chat", "openai", "gpt-4o")
    assert deployment.base_url == "https://eu.example/v1"
    assert deployment.credential == Secret("sk-one")
    assert deployment.headers == (("x-team", "a"), ("openai-organization", "org-1"))
    assert deployment.defaults == {"temperature": 0, "top_k": 40}
    assert deployment.overrides == {"service_tier": "flex"}
    assert (deployment.timeout, deployment.stream_timeout) == (30.0, 5.0)
    assert (deployment.rpm, deployment.tpm, deployment.weight, deployment.order) == (60, 1000, 0.5, 2)
    assert (deployment.max_parallel_requests, deployment.num_retries, deployment.cooldown_time) == (8, 1, 20.0)
    assert (deployment.drains_on_disconnect, deployment.min_chars_per_second) == (True, 12.0)
    assert deployment.tags == ("paid", "eu")
    assert deployment.mock_response == "hello"
    assert deployment.price.input_usd_per_token == Decimal("0.000003")
    assert deployment.price.output_usd_per_token == Decimal("0.00001")
    assert (deployment.max_input_tokens, deployment.max_output_tokens) == (128_000, 100)
    assert deployment.info == {"id": "my-id", "mode": "chat", "max_tokens": 100, "owner": "me"}


def test_rates_may_stand_beside_the_parameters_or_in_the_info(build: Build) -> None:
    text = _entry("model: openai/gpt-4o, rpm: 1", info="rpm: 3, tpm: 30") + "    rpm: 2\n    tpm: 20\n"
    deployment = _only(build(text, KEY))
    assert (deployment.rpm, deployment.tpm) == (1, 20)
    assert _only(build(_entry("model: openai/gpt-4o", info="tpm: 30"), KEY)).tpm == 30


@pytest.mark.parametrize(("said", "drains"), [("", None), (", on_disconnect: cancel", False)])
def test_a_deployment_may_say_what_becomes_of_an_answer_that_nobody_waits_for(
    build: Build, said: str, drains: bool | None
) -> None:
    assert _only(build(_entry("model: openai/gpt-4o" + said), KEY)).drains_on_disconnect is drains


@pytest.mark.parametrize(
    ("params", "vendor", "model"),
    [
        ("model: gpt-4o", "openai", "gpt-4o"),
        ("model: openai/gpt-4o", "openai", "gpt-4o"),
        ("model: brand-new-model", "openai", "brand-new-model"),
        ("model: claude-x, api_key: k", "anthropic", "claude-x"),
        ("model: shared-name", "openai", "shared-name"),
        ("model: hosted_vllm/org/name, api_base: 'http://gpu/v1'", "hosted_vllm", "org/name"),
        ("model: org/name, custom_llm_provider: openai, api_base: 'http://gpu/v1'", "openai", "org/name"),
        ("model: openai/name, custom_llm_provider: openai", "openai", "name"),
        ("model: text-completion-openai/babbage", "text-completion-openai", "babbage"),
        ("model: demo/small", "demo", "small"),
    ],
)
def test_the_provider_is_found_from_the_model(build: Build, params: str, vendor: str, model: str) -> None:
    deployment = _only(build(_entry(params), KEY))
    assert (deployment.vendor.name, deployment.upstream_model) == (vendor, model)


def test_a_provider_that_is_not_known_leaves_its_entry_out_and_the_start_goes_on(build: Build) -> None:
    text = _entry("model: azure/gpt-4o") + "  - {model_name: n, litellm_params: {model: demo/small}}\n"
    built = build(text)
    assert [one.model_name for one in built.good.deployments] == ["n"]
    assert built.said("notice") == [
        (
            "model_list[0].litellm_params.model: this deployment of 'm' is left out: "
            "the provider 'azure' is not known to this version"
        )
    ]


def test_what_an_entry_of_an_unknown_provider_says_is_not_checked_by_our_rules(build: Build) -> None:
    params = "model: azure/x, api_key: os.environ/NOPE, api_base: 'https://x/openai?api-version=1', rpm: many"
    built = build(_entry(params))
    assert built.good.deployments == ()
    assert len(built.said("notice")) == 1


def test_a_misspelt_provider_gets_a_hint(build: Build) -> None:
    assert "did you mean openai?" in build(_entry("model: opanai/gpt-4o")).all()
    assert "did you mean groq?" in build(_entry("model: x, custom_llm_provider: grog")).all()


def test_an_entry_whose_key_is_not_in_the_environment_is_left_out_and_named(build: Build) -> None:
    built = build(_entry("model: openai/gpt-4o, api_key: os.environ/MY_KEY"), KEY)
    assert built.good.deployments == ()
    assert (
        "config.yaml:3:53: notice: model_list[0].litellm_params.api_key: "
        "this deployment of 'm' is left out: MY_KEY is not set (set MY_KEY, or remove the entry)"
    ) in built.all()


def test_an_entry_without_any_key_is_left_out_with_the_variable_that_would_help(build: Build) -> None:
    built = build(_entry("model: openai/gpt-4o"))
    assert built.good.deployments == ()
    assert "OPENAI_API_KEY is not set" in built.all()


@pytest.mark.parametrize(
    "params",
    [
        "model: openai/x, api_base: 'http://gpu:8000/v1'",
        "model: openai/x, mock_response: hi",
        "model: openai/x, extra_headers: {Authorization: Basic abc}",
        "model: demo/small",
    ],
)
def test_some_entries_need_no_key(build: Build, params: str) -> None:
    assert _only(build(_entry(params))).credential is None


def test_the_key_of_the_environment_is_used_when_the_entry_has_none(build: Build) -> None:
    assert _only(build(_entry("model: openai/gpt-4o"), KEY)).credential == Secret("sk-env")


def test_a_key_that_goes_to_a_foreign_address_is_pointed_out(build: Build) -> None:
    built = build(_entry("model: openai/x, api_base: 'https://elsewhere.example/v1'"), KEY)
    assert _only(built).credential == Secret("sk-env")
    assert "gets the key of openai from the environment" in built.said("notice")[0]
    own = build(_entry("model: openai/x, api_base: 'https://elsewhere.example/v1', api_key: none"), KEY)
    assert own.problems == ()


def test_a_server_without_an_address_is_left_out(build: Build) -> None:
    built = build(_entry("model: hosted_vllm/llama"))
    assert built.good.deployments == ()
    assert "has no address of its own" in built.all()


def test_an_address_of_the_environment_that_is_none_leaves_the_entry_out(build: Build) -> None:
    built = build(_entry("model: openai/x"), {**KEY, "OPENAI_BASE_URL": "nonsense"})
    assert built.good.deployments == ()
    assert "OPENAI_BASE_URL" in built.all()


def test_an_address_that_holds_the_path_of_an_operation_is_pointed_out(build: Build) -> None:
    built = build(_entry("model: openai/x, api_key: k, api_base: 'http://gpu/v1/chat/completions'"))
    assert "ends with the path of an operation" in built.said("warning")[0]


def test_base_url_is_another_name_of_api_base(build: Build) -> None:
    assert _only(build(_entry("model: openai/x, api_key: k, base_url: 'http://gpu/v1'"))).base_url == "http://gpu/v1"


def test_facts_fill_in_what_the_entry_does_not_say(build: Build) -> None:
    deployment = _only(build(_entry("model: openai/text-embedding-3-small"), KEY))
    assert deployment.mode == "embedding"
    named = _only(build(_entry("model: openai/mine", info="base_model: gpt-4o"), KEY))
    assert (named.max_input_tokens, named.price.output_usd_per_token) == (128_000, Decimal("0.00001"))
    assert _only(build(_entry("model: text-completion-openai/x"), KEY)).mode == "completion"


@pytest.mark.parametrize(
    ("name", "params", "model"),
    [
        ("openai/*", "model: 'openai/*'", "*"),
        ("*", "model: 'openai/*'", "*"),
        ("*", "model: openai/gpt-4o", "gpt-4o"),
        ("my-*", "model: 'openai/gpt-*'", "gpt-*"),
        ("*", "model: '*', api_key: k", "*"),
    ],
)
def test_wildcards_are_kept_as_patterns(build: Build, name: str, params: str, model: str) -> None:
    deployment = _only(build(_entry(params, name), KEY))
    assert (deployment.model_name, deployment.upstream_model) == (name, model)


@pytest.mark.parametrize(
    ("name", "params"),
    [("a*b*", "model: openai/x"), ("plain", "model: 'openai/*'"), ("*", "model: 'openai/*-*'")],
)
def test_patterns_that_match_nothing_sensible_are_errors(build: Build, name: str, params: str) -> None:
    assert build(_entry(params, name), KEY).snapshot is None


def test_everything_to_everything_is_any_model_of_the_providers_with_keys(build: Build) -> None:
    built = build(_entry("model: '*'", "*", "id: mine"), {**KEY, "GROQ_API_KEY": "g"})
    found = {one.model_name: one.vendor.name for one in built.good.deployments}
    assert found == {"openai/*": "openai", "groq/*": "groq", "*": "openai"}
    assert len({one.id for one in built.good.deployments}) == 3
    assert build(_entry("model: '*'", "*")).good.deployments == ()


@pytest.mark.requirement("config.credential-list")
def test_a_shared_credential_gives_what_the_entry_does_not_say(build: Build) -> None:
    text = _entry("model: openai/x, litellm_credential_name: eu") + (
        "credential_list:\n  - credential_name: eu\n"
        "    credential_values: {api_key: sk-eu, api_base: 'https://eu.example/v1'}\n"
        "    credential_info: {note: x}\n"
    )
    built = build(text)
    deployment = _only(built)
    assert (deployment.credential, deployment.base_url) == (Secret("sk-eu"), "https://eu.example/v1")
    assert built.problems == ()
    own = build(text.replace("model: openai/x", "model: openai/x, api_key: sk-own"))
    assert _only(own).credential == Secret("sk-own")


def test_a_credential_whose_variable_is_unset_leaves_out_all_entries_that_need_it(build: Build) -> None:
    text = """
model_list:
  - {model_name: a, litellm_params: {model: openai/x, litellm_credential_name: eu}}
  - {model_name: b, litellm_params: {model: openai/y, litellm_credential_name: eu}}
  - {model_name: c, litellm_params: {model: openai/y, litellm_credential_name: eu, api_key: own}}
credential_list: [{credential_name: eu, credential_values: {api_key: os.environ/EU_KEY}}]
"""
    built = build(text, KEY)
    assert [one.model_name for one in built.good.deployments] == ["c"]
    assert len(built.said("notice")) == 2


def test_a_credential_name_that_is_not_there_leaves_the_entry_out(build: Build) -> None:
    text = _entry("model: openai/x, litellm_credential_name: uu") + (
        "credential_list: [{credential_name: eu, credential_values: {api_key: k}}]\n"
    )
    built = build(text, KEY)
    assert built.good.deployments == ()
    assert "names no credential" in built.all()


def test_ids_are_the_same_at_every_start_and_differ_with_the_content(build: Build) -> None:
    one = _only(build(_entry("model: openai/x, api_key: a")))
    again = _only(build(_entry("api_key: a, model: openai/x")))
    other_key = _only(build(_entry("model: openai/x, api_key: b")))
    assert one.id == again.id
    assert one.id != other_key.id
    assert len(one.id) == 32


def test_entries_with_the_same_content_get_ids_of_their_own(build: Build) -> None:
    entry = "  - {model_name: m, litellm_params: {model: demo/small}}\n"
    ids = [one.id for one in build("model_list:\n" + entry * 3).good.deployments]
    assert ids == [ids[0], f"{ids[0]}-2", f"{ids[0]}-3"]


def test_two_entries_cannot_have_one_id(build: Build) -> None:
    entry = "  - {model_name: m, litellm_params: {model: demo/small}, model_info: {id: 7}}\n"
    assert "is the id of another deployment" in build("model_list:\n" + entry * 2).said("error")[0]


def test_credentials_in_model_info_are_not_listed(build: Build) -> None:
    assert _only(build(_entry("model: demo/small", info="api_key: x, note: y"))).info == {"note": "y"}


@pytest.mark.parametrize(
    "text",
    [
        "model_list: {a: b}\n",
        "model_list: [1]\n",
        "model_list: [~]\n",
        "model_list: [{}]\n",
        "model_list: [{model_name: m}]\n",
        "model_list: [{litellm_params: {model: demo/x}}]\n",
        "model_list: [{model_name: m, litellm_params: {}}]\n",
        "model_list: [{model_name: m, litellm_params: [1]}]\n",
        "model_list: [{model_name: 4, litellm_params: {model: demo/x}}]\n",
        "model_list: [{model_name: m, litellm_params: {model: demo/x, api_base: not-an-address}}]\n",
        'model_list: [{model_name: m, litellm_params: {model: demo/x, organization: "a\\nb"}}]\n',
        "model_list: [{model_name: m, litellm_params: {model: demo/x}, model_info: [1]}]\n",
        "model_list: [{model_name: m, litellm_params: {model: demo/x, rpm: -1}}]\n",
        "model_list: [{model_name: m, rpm: -1, litellm_params: {model: demo/x}}]\n",
        "model_list: [{model_name: m, litellm_params: {model: demo/x, on_disconnect: stop}}]\n",
        "model_list: [{model_name: m, litellm_params: {model: demo/x, max_parallel_requests: 0}}]\n",
    ],
)
def test_an_entry_that_is_wrong_is_an_error(build: Build, text: str) -> None:
    built = build(text)
    assert built.snapshot is None
    assert built.said("error")


def test_all_wrong_entries_are_reported_at_once(build: Build) -> None:
    text = """
model_list:
  - {model_name: a, litellm_params: {model: demo/x, rpm: many, timeout: -1}}
  - {litellm_params: {model: demo/x}}
  - {model_name: c, litellm_params: {model: demo/x, weight: heavy}}
"""
    paths = [line.split(": ")[0] for line in build(text).said("error")]
    assert paths == [
        "model_list[0].litellm_params.rpm",
        "model_list[0].litellm_params.timeout",
        "model_list[1]",
        "model_list[2].litellm_params.weight",
    ]


def test_an_empty_text_is_as_good_as_none_in_the_parameters_of_a_model(build: Build) -> None:
    deployment = _only(build(_entry("model: openai/x, api_key: '', api_base: ''"), KEY))
    assert (deployment.credential, deployment.base_url) == (Secret("sk-env"), "https://api.openai.com/v1")
    assert build(_entry("model: ''"), KEY).said("error") == ["model_list[0].litellm_params: has no model"]


def test_a_model_without_a_name_after_its_provider_is_left_out(build: Build) -> None:
    assert build(_entry("model: openai/"), KEY).good.deployments == ()


def test_credentials_are_left_out_of_the_shown_info_at_any_depth(build: Build) -> None:
    info = "{note: kept, nested: {api_key: sk-inner, list: [{secret: x, plain: y}]}}"
    built = build(f"model_list: [{{model_name: a, litellm_params: {{model: demo/small}}, model_info: {info}}}]")
    assert built.good.deployments[0].info == {"note": "kept", "nested": {"list": [{"plain": "y"}]}}


def test_what_came_from_the_environment_is_not_shown(build: Build) -> None:
    info = "{owner: os.environ/OWNER, nested: {note: os.environ/OWNER, plain: kept}}"
    built = build(
        f"model_list: [{{model_name: a, litellm_params: {{model: demo/small}}, model_info: {info}}}]", {"OWNER": "x"}
    )
    assert built.good.deployments[0].info == {"nested": {"plain": "kept"}}


def test_an_id_that_no_header_can_hold_is_an_error(build: Build) -> None:
    built = build('model_list: [{model_name: a, litellm_params: {model: demo/small}, model_info: {id: "a\\nb"}}]')
    assert any("printable ASCII" in problem.what for problem in built.problems)


def test_a_model_that_is_missing_is_said_beside_every_other_problem(build: Build) -> None:
    built = build("model_list: [{model_name: a, litellm_params: {modle: openai/gpt-4o, timeout: soon}}]")
    said = [(problem.path, problem.what, problem.hint) for problem in built.problems if problem.severity == "error"]
    assert said == [
        ("model_list[0].litellm_params", "has no model", "is modle meant to be it?"),
        ("model_list[0].litellm_params.timeout", "must be a number, not text", ""),
    ]
