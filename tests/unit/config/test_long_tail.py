from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from unit.config.conftest import Build, Built

from pointsman.config.long_tail import without_extra
from pointsman.pipeline.targets import credentials
from pointsman.providers.base import Deployment
from pointsman.providers.long_tail import LONG_TAIL
from pointsman.providers.registry import load_vendors
from pointsman.upstream.litellm import INSTALL
from pointsman.wire.secret import Secret


@pytest.fixture
def with_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pointsman.upstream.litellm.problem", lambda: None)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pointsman.upstream.litellm.problem", lambda: "it is not installed")


def entry(params: str) -> str:
    return f"model_list:\n  - model_name: m\n    litellm_params: {{{params}}}\n"


def only(built: Built) -> Deployment:
    (deployment,) = built.good.deployments
    return deployment


@pytest.mark.usefixtures("with_extra")
@pytest.mark.parametrize(
    ("params", "provider", "model"),
    [
        ("model: replicate/meta/llama", "replicate", "meta/llama"),
        ("model: litellm/replicate/meta/llama", "replicate", "meta/llama"),
        ("model: meta/llama, custom_llm_provider: replicate", "replicate", "meta/llama"),
        ("model: replicate/x, custom_llm_provider: litellm", "replicate", "x"),
        ("model: litellm/openai/gpt-4o", "openai", "gpt-4o"),
        ("model: litellm/quite_new/x", "quite_new", "x"),
    ],
)
def test_the_provider_is_found_from_the_model(build: Build, params: str, provider: str, model: str) -> None:
    deployment = only(build(entry(params)))
    assert (deployment.vendor.name, deployment.upstream_model) == (provider, model)
    assert (deployment.base_url, deployment.vendor.dialect) == ("litellm:", "openai")


@pytest.mark.usefixtures("with_extra")
def test_a_model_that_is_known_has_its_price_and_its_context(build: Build) -> None:
    deployment = only(build(entry("model: litellm/openai/gpt-4o, output_cost_per_token: 1")))
    assert deployment.max_input_tokens == 128_000
    assert deployment.price.output_usd_per_token == 1


@pytest.mark.usefixtures("with_extra")
@pytest.mark.parametrize("model", ["litellm/", "litellm/openai", "litellm/openai/", "replicate/"])
def test_an_entry_that_names_no_model_is_left_out(build: Build, model: str) -> None:
    built = build(entry(f"model: {model}"))
    assert built.good.deployments == ()
    assert "no model is named after the provider" in built.all()


@pytest.mark.requirement("litellm.missing")
@pytest.mark.usefixtures("without")
@pytest.mark.parametrize("model", ["replicate/x", "litellm/replicate/x"])
def test_without_the_extra_the_start_says_what_to_install_and_goes_on(build: Build, model: str) -> None:
    text = entry(f"model: {model}, api_key: os.environ/NOPE, rpm: many")
    built = build(text + "  - {model_name: n, litellm_params: {model: demo/small}}\n")
    assert [one.model_name for one in built.good.deployments] == ["n"]
    (said,) = built.said("notice")
    provider = model.partition("/")[0]
    assert f"the provider {provider!r} is served by the litellm extra, and it is not installed" in said
    assert INSTALL in built.all()


@pytest.mark.usefixtures("without")
def test_what_we_serve_ourselves_needs_no_extra(build: Build) -> None:
    assert only(build(entry("model: demo/small"))).arguments == {}


@pytest.mark.usefixtures("with_extra")
def test_routing_is_ours_and_the_rest_is_litellms(build: Build) -> None:
    params = (
        "model: watsonx/ibm/granite, api_base: 'https://x.test/v1', project_id: p, space_id: s, "
        "watsonx_region_name: eu, aws_region_name: eu-1, tenant_id: t, extra_body: {a: 1}, hf_model_name: h, "
        "rpm: 5, timeout: 7, weight: 2, num_retries: 1, temperature: 0, top_k: 3"
    )
    deployment = only(build(entry(params)))
    assert deployment.arguments == {
        "api_base": "https://x.test/v1",
        "project_id": "p",
        "space_id": "s",
        "watsonx_region_name": "eu",
        "aws_region_name": "eu-1",
        "tenant_id": "t",
        "extra_body": {"a": 1},
        "hf_model_name": "h",
    }
    assert (deployment.rpm, deployment.timeout, deployment.weight, deployment.num_retries) == (5, 7, 2, 1)
    assert deployment.defaults == {"temperature": 0, "top_k": 3}
    assert deployment.overrides == {}
    assert deployment.base_url == "litellm://x.test"


@pytest.mark.usefixtures("with_extra")
def test_its_callbacks_and_its_own_routing_are_not_acted_on(build: Build) -> None:
    keys = "callbacks: [x], success_callback: [x], fallbacks: [x], langfuse_public_key: k, litellm_session_id: i"
    built = build(entry("model: replicate/x, " + keys))
    assert only(built).arguments == {}
    assert len([said for said in built.said("notice") if "not acted on" in said]) == 5


@pytest.mark.requirement("litellm.secrets")
@pytest.mark.usefixtures("with_extra")
def test_secrets_are_marked_as_such_and_known_to_whoever_hides_them(build: Build) -> None:
    params = (
        "model: sagemaker/x, api_key: sk-0123456789, aws_access_key_id: AKIA, aws_secret_access_key: secret-1, "
        "vertex_credentials: {type: secret-2, keys: [secret-3]}, place: os.environ/PLACE, port: 1"
    )
    deployment = only(build(entry(params), {"PLACE": "secret-4"}))
    expected: dict[str, Any] = {
        "aws_access_key_id": "AKIA",
        "aws_secret_access_key": Secret("secret-1"),
        "vertex_credentials": {"type": Secret("secret-2"), "keys": [Secret("secret-3")]},
        "place": Secret("secret-4"),
        "port": 1,
    }
    assert deployment.arguments == expected
    assert set(credentials(deployment)) == {"sk-0123456789", "secret-1", "secret-2", "secret-3", "secret-4"}


@pytest.mark.usefixtures("with_extra")
def test_a_variable_that_is_not_set_leaves_the_entry_out(build: Build) -> None:
    built = build(entry("model: replicate/x, place: os.environ/PLACE"))
    assert built.good.deployments == ()
    assert "PLACE is not set" in built.all()


@pytest.mark.usefixtures("with_extra")
def test_defaults_of_all_entries_are_fields_of_bodies_only(build: Build) -> None:
    defaults = "router_settings:\n  default_litellm_params: {temperature: 1, own_field: 2}\n"
    deployment = only(build(entry("model: replicate/x") + defaults))
    assert deployment.defaults == {"temperature": 1}
    assert deployment.arguments == {}


def test_the_prefix_is_taken_off_once() -> None:
    assert without_extra("litellm", "litellm/x") == ("litellm", "x")
    assert without_extra("replicate", "a/b") == ("replicate", "a/b")


def test_what_is_served_by_litellm_is_none_of_ours() -> None:
    assert LONG_TAIL.isdisjoint(load_vendors())


def test_the_page_names_them_all() -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "providers.md").read_text()
    named = page.partition("Served by their names:")[2].partition(". Without")[0]
    assert set(re.findall(r"`([^`]+)`", named)) == LONG_TAIL
