from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.config.discovery import starting_tree
from pointsman.wire.secret import Secret

if TYPE_CHECKING:
    from unit.config.conftest import Build

DISCOVER = "pointsman_settings: {discover_providers: true}\n"


def test_every_provider_with_a_key_is_served_by_wildcard_and_by_plain_names(build: Build) -> None:
    built = build(DISCOVER, {"OPENAI_API_KEY": "o", "ANTHROPIC_API_KEY": "a"})
    found = {one.model_name: (one.vendor.name, one.upstream_model) for one in built.good.deployments}
    assert found["openai/*"] == ("openai", "*")
    assert found["gpt-4o"] == ("openai", "gpt-4o")
    assert found["claude-x"] == ("anthropic", "claude-x")
    assert "groq/*" not in found
    by_name = {one.model_name: one for one in built.good.deployments}
    assert by_name["gpt-4o"].max_input_tokens == 128_000
    assert by_name["text-embedding-3-small"].mode == "embedding"
    assert by_name["openai/*"].credential == Secret("o")


def test_a_plain_name_that_two_of_them_have_is_left_to_its_full_name(build: Build) -> None:
    both = build(DISCOVER, {"OPENAI_API_KEY": "o", "GROQ_API_KEY": "g"}).good
    assert "shared-name" not in {one.model_name for one in both.deployments}
    one = build(DISCOVER, {"GROQ_API_KEY": "g"}).good
    assert "shared-name" in {one.model_name for one in one.deployments}


def test_declared_names_keep_their_meaning(build: Build) -> None:
    text = DISCOVER + (
        "model_list:\n"
        "  - {model_name: gpt-4o, litellm_params: {model: demo/small}}\n"
        "  - {model_name: 'openai/*', litellm_params: {model: 'demo/*'}}\n"
    )
    built = build(text, {"OPENAI_API_KEY": "o"}).good
    named = [one for one in built.deployments if one.model_name in {"gpt-4o", "openai/*"}]
    assert [one.vendor.name for one in named] == ["demo", "demo"]


def test_what_was_found_is_said_without_the_key(build: Build) -> None:
    built = build(DISCOVER, {"OPENAI_API_KEY": "sk-Confidential"})
    assert "found providers in the environment: openai" in built.all()
    assert "Confidential" not in built.all()


def test_nothing_is_found_without_being_asked_for(build: Build) -> None:
    assert build("model_list: []\n", {"OPENAI_API_KEY": "o"}).good.deployments == ()


def test_litellms_own_switch_works_too(build: Build) -> None:
    built = build("general_settings: {infer_model_from_keys: true}\n", {"GROQ_API_KEY": "g"})
    assert "groq/*" in {one.model_name for one in built.good.deployments}


def test_ids_are_stable_and_follow_the_key(build: Build) -> None:
    def ids(key: str) -> list[str]:
        return [one.id for one in build(DISCOVER, {"OPENAI_API_KEY": key}).good.deployments]

    assert ids("a") == ids("a")
    assert not set(ids("a")) & set(ids("b"))
    assert len(set(ids("a"))) == len(ids("a"))


def test_without_a_config_the_demo_is_served_and_a_master_key_is_made() -> None:
    tree = starting_tree()
    assert [entry["model_name"] for entry in tree["model_list"]] == [
        "demo/small",
        "demo/medium",
        "demo/large",
        "demo/embed",
        "demo/image",
        "demo/speech",
        "demo/transcribe",
        "demo/moderation",
        "demo/rerank",
        "demo/*",
    ]
    assert tree["general_settings"] == {"master_key": "auto"}
