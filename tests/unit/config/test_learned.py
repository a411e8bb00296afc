from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from unit.config.conftest import Build, Built

from pointsman.ml.prior import Card
from pointsman.routing.settings import LearningSettings, RoutedSettings

MODELS = """
model_list:
  - {model_name: small, litellm_params: {model: demo/small}}
  - {model_name: large, litellm_params: {model: demo/large}}
  - {model_name: vectors, litellm_params: {model: demo/embed}, model_info: {mode: embedding}}
  - {model_name: mixed, litellm_params: {model: demo/small}}
  - {model_name: mixed, litellm_params: {model: demo/large}}
"""


def _entry(params: str, name: str = "auto") -> str:
    return MODELS + f"  - {{model_name: {name}, litellm_params: {{{params}}}}}\n"


def _strategy(strategy: str, args: str = "{}") -> str:
    return MODELS + f"router_settings: {{routing_strategy: {strategy}, routing_strategy_args: {args}}}\n"


def _routed(built: Built) -> dict[str, RoutedSettings]:
    return built.good.routing.routed


@pytest.mark.requirement("routing.learned.idle")
def test_without_a_learned_strategy_nothing_is_routed_and_no_numpy_is_needed(build: Build) -> None:
    assert build(MODELS).good.routing.routed == {}
    code = (
        "import sys, pointsman.app, pointsman.cli\n"
        "from pointsman.config import load\n"
        "assert load(None, {}).snapshot is not None\n"
        "sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_an_entry_with_a_router_is_a_model_that_is_chosen_for_each_prompt(build: Build) -> None:
    built = build(
        _entry("model: router/auto, candidates: [large, small], quality: cheap, max_cost: '0.5', min_quality: 0.2")
    )
    assert _routed(built)["auto"] == RoutedSettings(
        name="auto",
        candidates=("large", "small"),
        quality=0.5,
        max_cost=0.5,
        min_quality=0.2,
        directory=str(Path.cwd()),
    )
    assert [one.model_name for one in built.good.deployments].count("auto") == 0
    assert built.said("warning") == []


def test_several_routed_models_stand_side_by_side(build: Build) -> None:
    text = (
        _entry("model: router/auto") + "  - {model_name: thrifty, litellm_params: {model: router/llmrouter-smallest}}\n"
    )
    assert {name: one.strategy for name, one in _routed(build(text)).items()} == {
        "auto": "auto",
        "thrifty": "smallest",
    }


def test_a_learned_strategy_routes_auto_and_groups_of_several_upstream_models(build: Build) -> None:
    routed = _routed(build(_strategy("llmrouter-knn", "{candidates: [small, large], quality: 0.3}")))
    assert {name: (one.strategy, one.is_within_group, one.candidates) for name, one in routed.items()} == {
        "auto": ("knn", False, ("small", "large")),
        "mixed": ("knn", True, ()),
    }
    assert routed["mixed"].quality == 0.3


def test_an_entry_of_its_own_goes_before_the_strategys_auto(build: Build) -> None:
    text = _entry("model: router/mf") + "router_settings: {routing_strategy: llmrouter-knn}\n"
    assert {name: one.strategy for name, one in _routed(build(text)).items()} == {"auto": "mf", "mixed": "knn"}


def test_a_model_of_ones_own_that_is_called_auto_stays_what_it_is(build: Build) -> None:
    text = MODELS.replace("model_name: small", "model_name: auto")
    built = build(text + "router_settings: {routing_strategy: llmrouter-knn}\n")
    assert list(_routed(built)) == ["mixed"]


def test_a_routing_group_can_have_a_learned_strategy(build: Build) -> None:
    text = """
router_settings:
  routing_groups:
    - {group_name: g, models: [mixed], routing_strategy: llmrouter-svm, routing_strategy_args: {quality: best}}
"""
    (routed,) = _routed(build(MODELS + text)).values()
    assert (routed.name, routed.strategy, routed.is_within_group, routed.quality) == ("mixed", "svm", True, 1.0)


@pytest.mark.parametrize(("base", "is_choice"), [("gpt-4o", False), ("gpt-4", True)])
def test_deployments_of_one_model_are_no_choice_whatever_their_upstreams_call_it(
    build: Build, base: str, *, is_choice: bool
) -> None:
    built = build(f"""
model_list:
  - {{model_name: chat, litellm_params: {{model: demo/my-prod}}, model_info: {{base_model: {base}}}}}
  - {{model_name: chat, litellm_params: {{model: demo/other}}, model_info: {{base_model: demo/gpt-4o}}}}
router_settings: {{routing_strategy: llmrouter-auto}}
""")
    assert ("chat" in _routed(built)) is is_choice


def test_a_routing_group_of_one_upstream_model_has_nothing_to_choose(build: Build) -> None:
    text = "router_settings: {routing_groups: [{group_name: g, models: [small], routing_strategy: llmrouter-svm}]}\n"
    built = build(MODELS + text)
    assert _routed(built) == {}
    assert built.said("warning") == [
        "router_settings.routing_groups[0]: has no effect on 'small': its deployments are of one model"
    ]


def test_a_strategy_that_asks_on_the_way_chooses_among_public_names_only(build: Build) -> None:
    assert list(_routed(build(_strategy("llmrouter-automix")))) == ["auto"]


def test_arguments_of_other_strategies_are_not_acted_on(build: Build) -> None:
    built = build(_strategy("least-busy", "{ttl: 1}"))
    assert built.said("notice") == ["router_settings.routing_strategy_args: is known but not acted on by this version"]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ("model: router/nkn", "model_list[5].litellm_params.model: names no strategy"),
        (
            "model: router/auto, quality: 3",
            "model_list[5].litellm_params.quality: must be a number from 0 to 1, cheap or best",
        ),
        ("model: router/custom", "model_list[5].litellm_params: has no strategy"),
        (
            "model: router/custom, strategy: 'nowhere:Nothing'",
            "model_list[5].litellm_params.strategy: nowhere:Nothing cannot be imported",
        ),
        (
            "model: router/auto, target_cost: 1, target_share: 0.5",
            "model_list[5].litellm_params.target_share: cannot be kept beside target_cost",
        ),
        ("model: router/automix, threshold: [0.9, 0.1]", "model_list[5].litellm_params: does not fit automix"),
        ("model: router/auto, embedder: 'teapot:1'", "model_list[5].litellm_params.embedder: there is no embedder"),
    ],
)
def test_what_is_wrong_is_an_error_at_its_place(build: Build, params: str, said: str) -> None:
    built = build(_entry(params))
    assert built.snapshot is None
    assert [line for line in built.said("error") if line.startswith(said)], built.all()


def test_the_probable_strategy_is_named(build: Build) -> None:
    assert "did you mean router/knn?" in build(_entry("model: router/knnn")).all()


@pytest.mark.parametrize("name", ["small", "'with*'"])
def test_a_name_that_cannot_be_routed_is_an_error(build: Build, name: str) -> None:
    built = build(_entry("model: router/auto", name=name))
    assert [line for line in built.said("error") if "model_list[5].model_name: is a routed model" in line]


def test_a_routed_model_without_a_name_is_an_error(build: Build) -> None:
    built = build(MODELS + "  - {litellm_params: {model: router/auto}}\n")
    assert "model_list[5]: has no model_name" in built.said("error")


def test_a_key_that_is_none_of_a_routers_is_pointed_out(build: Build) -> None:
    built = build(_entry("model: router/auto, candidate: [small]"))
    assert built.said("warning") == ["model_list[5].litellm_params.candidate: is not a known key"]
    assert "did you mean candidates?" in built.all()


def test_a_method_without_a_checkpoint_is_noted_once(build: Build) -> None:
    notices = build(_strategy("llmrouter-knn")).said("notice")
    assert notices == [
        "router_settings.routing_strategy_args: has no model_path: knn has learnt nothing, so prices and sizes decide"
    ]
    assert build(_strategy("llmrouter-auto")).said("notice") == []


@pytest.mark.requirement("config.source.checkpoints")
@pytest.mark.parametrize(
    ("stated", "origin"),
    [
        ("model_s3_bucket: b, model_s3_key: k/knn/", "s3://b/k/knn"),
        ("model_gcs_bucket: b, model_gcs_key: /k", "gs://b/k"),
        ("model_azure_container: b, model_azure_key: k", "az://b/k"),
    ],
)
def test_a_checkpoint_in_a_bucket_is_kept_in_the_data_directory_and_need_not_be_there_yet(
    build: Build, tmp_path: Path, stated: str, origin: str
) -> None:
    built = build(_strategy("llmrouter-knn", f"{{{stated}}}"), {"POINTSMAN_DATA_DIR": str(tmp_path)})
    found = _routed(built)["auto"]
    assert (found.origin, found.has_hot_reload) == (origin, True)
    assert found.checkpoint is not None
    assert Path(found.checkpoint).parent == tmp_path / "checkpoints"
    assert any(f"there is no checkpoint at {found.checkpoint} yet" in said for said in built.said("notice"))
    assert f"it is fetched from {origin}" in built.all()


def test_a_checkpoint_in_a_bucket_is_kept_where_the_document_says(build: Build, tmp_path: Path) -> None:
    stated = f"{{model_s3_bucket: b, model_s3_key: k, model_path: {tmp_path}/knn}}"
    assert _routed(build(_strategy("llmrouter-knn", stated)))["auto"].checkpoint == f"{tmp_path}/knn"


def test_each_checkpoint_in_a_bucket_has_a_place_of_its_own(build: Build) -> None:
    one, other = (
        _routed(build(_strategy("llmrouter-knn", f"{{model_s3_bucket: b, model_s3_key: {key}}}")))["auto"].checkpoint
        for key in ("k", "l")
    )
    assert one != other


@pytest.mark.parametrize("key", ["model_s3_bucket", "model_s3_key"])
def test_bucket_and_key_belong_together(build: Build, key: str) -> None:
    (error,) = build(_strategy("llmrouter-knn", f"{{{key}: b}}")).said("error")
    assert error == f"router_settings.routing_strategy_args.{key}: model_s3_bucket and model_s3_key belong together"


def test_candidates_are_described_by_a_file(build: Build, tmp_path: Path) -> None:
    file = tmp_path / "llms.json"
    file.write_text('{"small": {"size": "7B", "input_price": 0.2, "output_price": 0.2, "feature": "quick"}}')
    built = build(_entry(f"model: router/auto, llm_data_path: {file}"))
    assert _routed(built)["auto"].cards == (
        Card(
            name="small", size_billions=7.0, input_usd_per_million=0.2, output_usd_per_million=0.2, description="quick"
        ),
    )


@pytest.mark.parametrize(("text", "said"), [("[]", "cannot be used"), (None, "cannot read")])
def test_a_file_of_candidates_that_cannot_be_used_is_an_error(
    build: Build, tmp_path: Path, text: str | None, said: str
) -> None:
    file = tmp_path / "llms.json"
    if text is not None:
        file.write_text(text)
    errors = build(_entry(f"model: router/auto, llm_data_path: {file}")).said("error")
    assert len(errors) == 1
    assert errors[0].startswith("model_list[5].litellm_params.llm_data_path: ")
    assert said in errors[0]


def test_what_is_said_of_the_address_of_a_file_holds_no_credential(build: Build) -> None:
    said = build(_entry("model: router/auto, llm_data_path: 'https://u:SECRET-1@h/x.json?sig=SECRET-2'")).all()
    assert "cannot read https://h/x.json: " in said
    assert "SECRET" not in said


def test_a_table_of_a_cascade_is_read_from_its_file(build: Build, tmp_path: Path) -> None:
    file = tmp_path / "ladder.json"
    file.write_text('{"tiers": ["small", "large"], "steps": [[1, 0]]}')
    built = build(_entry(f"model: router/automix, table_path: {file}"))
    assert _routed(built)["auto"].options == {"ladder": {"tiers": ["small", "large"], "steps": [[1, 0]]}}
    file.write_text("{")
    assert "is no JSON" in build(_entry(f"model: router/automix, table_path: {file}")).all()


def test_what_is_learnt_while_serving_has_settings_of_its_own(build: Build) -> None:
    built = build(
        _entry(
            "model: router/auto, online_learning: true, exploration_share: 0.01, regret_budget_per_hour: 2, "
            "decision_log: false, log_prompts: true, candidate_path: next, canary_share: 0.2"
        )
    )
    assert _routed(built)["auto"].learning == LearningSettings(
        is_online=True,
        exploration_share=0.01,
        regret_budget=2.0,
        has_log=False,
        keeps_prompts=True,
        candidate=str(Path.cwd() / "next"),
        canary_share=0.2,
    )


def test_an_alias_may_stand_for_a_routed_model_with_a_knob(build: Build) -> None:
    text = _entry("model: router/auto") + "router_settings: {model_group_alias: {a: auto, thrifty: 'auto:cheap'}}\n"
    assert build(text).said("warning") == []


def test_a_routed_model_that_others_shall_fall_back_to_is_pointed_out(build: Build) -> None:
    text = _entry("model: router/auto") + "router_settings: {fallbacks: [{small: [auto]}, {auto: [large]}]}\n"
    assert build(text).said("warning") == [
        "router_settings.fallbacks[0].small[0]: names a routed model, which nothing goes on with"
    ]


def test_a_causal_model_without_a_controller_is_noted(build: Build) -> None:
    (notice,) = build(_entry("model: router/causallm")).said("notice")
    assert "has no controller" in notice
