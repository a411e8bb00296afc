from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from unit.config.conftest import Build

from pointsman.config.checkpoints import extras_of
from pointsman.config.custom import NoEstimator
from pointsman.ml import files
from pointsman.ml.base import Table
from pointsman.ml.embedders.base import NoEmbedder
from pointsman.ml.training.fit import train
from pointsman.routing.settings import RoutedSettings

MODELS = """
model_list:
  - {model_name: small, litellm_params: {model: demo/small}}
  - {model_name: large, litellm_params: {model: demo/large}}
  - {model_name: new, litellm_params: {model: demo/medium}}
  - {model_name: mixed, litellm_params: {model: demo/one}}
  - {model_name: mixed, litellm_params: {model: demo/two}}
"""
AT = "model_list[5].litellm_params"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of knn, for small, large and a model that nobody serves."""
    directory = tmp_path_factory.mktemp("made") / "checkpoint"
    quality = np.random.default_rng(0).integers(0, 2, (40, 3)).astype(np.float32)
    cost = np.tile(np.array([0.001, 0.01, 0.1], np.float32), (40, 1))
    table = Table(
        prompts=[f"question {i}" for i in range(40)], models=("small", "large", "gone"), quality=quality, cost_usd=cost
    )
    trained = train(table, "knn")
    files.write(directory, trained.packed(trained.about(created="2026-01-01T00:00:00Z", sources=())))
    return directory


def _entry(params: str) -> str:
    return MODELS + f"  - {{model_name: auto, litellm_params: {{model: router/knn, {params}}}}}\n"


def test_a_checkpoint_that_fits_is_taken_and_what_it_does_not_know_is_told(build: Build, checkpoint: Path) -> None:
    built = build(_entry(f"model_path: {checkpoint}, candidates: [small, large, new]"))
    assert built.good.routing.routed["auto"].checkpoint == str(checkpoint)
    assert built.said("notice") == [
        f"{AT}.model_path: knows models that are no candidates of 'auto': gone",
        f"{AT}.model_path: knows nothing of candidates of 'auto', which are the last resort: new",
    ]


@pytest.mark.requirement("routing.learned.checkpoint")
def test_a_broken_checkpoint_is_an_error_with_a_hint(build: Build, checkpoint: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in checkpoint.iterdir():
        (broken / file.name).write_bytes(file.read_bytes()[:-1])
    built = build(_entry(f"model_path: {broken}"))
    assert built.snapshot is None
    (error,) = built.said("error")
    assert error.startswith(f"{AT}.model_path: names a checkpoint that cannot be used: ")


def test_a_checkpoint_that_is_not_there_is_an_error_unless_it_is_awaited(build: Build, tmp_path: Path) -> None:
    assert build(_entry(f"model_path: {tmp_path / 'none'}")).snapshot is None
    built = build(_entry(f"model_path: {tmp_path / 'none'}, hot_reload: true"))
    assert built.good.routing.routed["auto"].has_hot_reload
    (notice,) = built.said("notice")
    assert "there is no checkpoint at" in notice


def test_a_checkpoint_that_knows_no_candidate_is_an_error(build: Build, checkpoint: Path) -> None:
    built = build(_entry(f"model_path: {checkpoint}, candidates: [new]"))
    assert "knows none of the candidates" in built.said("error")[0]


def test_a_checkpoint_that_nobody_trusted_has_signed_is_an_error(build: Build, checkpoint: Path) -> None:
    built = build(_entry(f"model_path: {checkpoint}, trusted_keys: ['{'0' * 64}']"))
    assert "nobody who is trusted has signed it" in built.said("error")[0]


def test_another_method_than_the_one_named_is_told(build: Build, checkpoint: Path) -> None:
    text = _entry(f"model_path: {checkpoint}, candidates: [small, large]").replace("router/knn", "router/mf")
    assert f"{AT}.model_path: was trained with knn, which is what decides, and not mf" in build(text).said("notice")


def test_within_a_group_that_a_checkpoint_does_not_know_prices_decide(build: Build, checkpoint: Path) -> None:
    args = f"{{model_path: {checkpoint}, candidates: [small, large]}}"
    built = build(MODELS + f"router_settings: {{routing_strategy: llmrouter-knn, routing_strategy_args: {args}}}\n")
    routed = built.good.routing.routed
    assert (routed["auto"].checkpoint, routed["mixed"].checkpoint) == (str(checkpoint), None)
    assert "knows none of the upstream models of 'mixed'" in built.all()


def test_within_a_group_that_a_fetched_checkpoint_does_not_know_nothing_is_fetched(
    build: Build, checkpoint: Path
) -> None:
    args = f"{{model_path: {checkpoint}, model_s3_bucket: b, model_s3_key: k, candidates: [small, large]}}"
    built = build(MODELS + f"router_settings: {{routing_strategy: llmrouter-knn, routing_strategy_args: {args}}}\n")
    routed = built.good.routing.routed
    assert (routed["auto"].origin, routed["mixed"].origin) == ("s3://b/k", None)


def test_names_that_nobody_serves_are_pointed_out(build: Build) -> None:
    built = build(_entry("candidates: [small, lagre, auto], controller: larg"))
    assert [line.partition(": ")[0] for line in built.said("warning")] == [
        f"{AT}.candidates",
        f"{AT}.candidates",
        f"{AT}.controller",
    ]
    assert "did you mean large?" in built.all()


def test_a_pattern_is_no_candidate_and_what_it_stands_for_is(build: Build) -> None:
    pattern = "  - {model_name: 'demo/*', litellm_params: {model: 'demo/*'}}\n"
    built = build(_entry("candidates: [small, 'demo/*', demo/tiny]") + pattern)
    assert built.said("warning") == [f"{AT}.candidates: names a pattern, which is no model: 'demo/*'"]


def test_strong_models_that_are_no_candidates_are_an_error(build: Build) -> None:
    built = build(_entry("candidates: [small, large], strong_models: [lrge, new]"))
    assert built.said("error") == [
        f"{AT}.strong_models: names no candidate of 'auto': 'lrge'",
        f"{AT}.strong_models: names no candidate of 'auto': 'new'",
    ]
    assert "did you mean large?" in built.all()


VECTORS = "  - {model_name: vectors, litellm_params: {model: demo/small}, model_info: {mode: embedding}}\n"


def test_a_candidate_that_answers_no_conversations_is_left_out(build: Build) -> None:
    built = build(_entry("candidates: [vectors, small]") + VECTORS)
    (warning,) = built.said("warning")
    assert warning == f"{AT}.candidates: leaves out 'vectors', which answers no conversations: its mode is embedding"
    built = build(_entry("candidates: [vectors]") + VECTORS)
    assert built.said("error") == [f"{AT}.candidates: has no model that answers conversations"]


def test_costs_that_stay_as_trained_are_told(build: Build, checkpoint: Path) -> None:
    text = _entry(f"model_path: {checkpoint}, candidates: [small, large]")
    assert "stay as trained" not in build(text).all()
    usd = "input_cost_per_token: 1e-6, output_cost_per_token: 1e-6"
    built = build(text.replace("demo/large}", f"demo/large, {usd}}}"))
    what = "does not tell what today's prices come to, so costs stay as trained: large"
    assert f"{AT}.model_path: {what}" in built.said("notice")


def test_a_checkpoint_that_does_not_fit_is_a_warning_where_it_is_read_again(build: Build, checkpoint: Path) -> None:
    built = build(_entry(f"model_path: {checkpoint}, candidates: [new], hot_reload: true"))
    assert "knows none of the candidates" in built.said("warning")[0]
    assert built.good.routing.routed["auto"].checkpoint == str(checkpoint)


def test_a_routed_model_without_candidates_is_left_out(build: Build) -> None:
    built = build("model_list: [{model_name: auto, litellm_params: {model: router/auto, candidates: [nobody]}}]\n")
    assert built.good.routing.routed == {}
    assert "'auto' is left out: none of its candidates is served" in built.all()


def test_an_embedder_or_an_estimator_that_is_not_there_is_told() -> None:
    with pytest.raises(NoEmbedder):
        extras_of(RoutedSettings(name="a", embedder="teapot:1"))
    with pytest.raises(NoEstimator):
        extras_of(RoutedSettings(name="a", strategy="custom", custom="nowhere:Nothing"))
    plain = extras_of(RoutedSettings(name="a", custom="nowhere:Nothing"))
    assert (plain.embedder, plain.custom) == (None, None)


def test_an_estimator_of_ones_own_decides_without_a_checkpoint(build: Build, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("class NotOne: ...\n")
    settings = RoutedSettings(name="a", strategy="custom", custom="mine:NotOne", directory=str(tmp_path))
    with pytest.raises(NoEstimator, match="is no estimator"):
        extras_of(settings)


def test_a_table_with_a_tier_that_is_no_candidate_is_an_error(build: Build) -> None:
    ladder = "{tiers: [small, larg], steps: [[0, 1]]}"
    params = f"{{model: router/automix, ladder: {ladder}, candidates: [small, large]}}"
    built = build(MODELS + f"  - {{model_name: m, litellm_params: {params}}}\n")
    assert built.said("error") == [f"{AT}.ladder: has a tier that is no candidate: 'larg'"]
    assert "did you mean large?" in built.all()


def test_judgements_that_can_never_be_asked_for_are_pointed_out(build: Build) -> None:
    text = MODELS + "  - {model_name: m, litellm_params: {model: router/automix, samples: 20, max_asks: 16}}\n"
    built = build(text)
    assert built.said("warning") == [f"{AT}.samples: asks for 20 judgements of an answer, of which max_asks leaves 15"]


@pytest.mark.requirement("routing.procedures.knobs")
def test_knobs_that_a_procedure_does_not_heed_are_pointed_out(build: Build) -> None:
    params = "quality: 0.5, max_cost: 1, min_quality: 0.5, target_cost: 0.1"
    built = build(MODELS + f"  - {{model_name: m, litellm_params: {{model: router/automix, {params}}}}}\n")
    assert built.said("warning") == [
        f"{AT}.min_quality: has no effect on automix",
        f"{AT}.target_cost: has no effect on automix",
    ]


def test_public_keys_may_be_in_capitals_and_have_to_be_keys(build: Build) -> None:
    built = build(_entry(f"trusted_keys: ['{'AB' * 32}']"))
    assert built.good.routing.routed["auto"].trusted_keys == ("ab" * 32,)
    for key in ("not a key", "ab" * 31, "xy" * 32):
        built = build(_entry(f"trusted_keys: ['{key}']"))
        assert built.said("error")[0].startswith(f"{AT}.trusted_keys: names no public key: '{key}'")


OWN = """
class Mine:
    NAME = "mine"
    def fit(self, features, table):
        {fit}
        return self
    def score(self, features): ...
    def state(self): ...
    @classmethod
    def from_state(cls, state): return cls()
"""


@pytest.mark.requirement("routing.custom.estimator")
@pytest.mark.parametrize(
    "text",
    [
        "raise SystemExit(3)\n",
        *(
            OWN.format(fit=fit)
            for fit in ("raise RuntimeError('no file')", "raise SystemExit('no')", "raise KeyError('w')", "pass")
        ),
    ],
)
def test_an_estimator_of_ones_own_that_cannot_be_used_is_an_error_with_its_place(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(text)
    args = '{strategy: "mine:Mine"}'
    built = build(MODELS + f"router_settings: {{routing_strategy: llmrouter-custom, routing_strategy_args: {args}}}\n")

    assert built.snapshot is None
    errors = built.said("error")
    assert errors
    for error in errors:
        assert error.startswith("router_settings.routing_strategy_args.strategy: ")
        assert "mine:Mine" in error or "without a checkpoint" in error
        assert "ModuleNotFound" not in error


@pytest.mark.requirement("routing.online.promotion")
def test_a_checkpoint_on_trial_that_cannot_be_used_is_a_warning(build: Build, checkpoint: Path, tmp_path: Path) -> None:
    names = "candidates: [small, large]"
    built = build(_entry(f"{names}, candidate_path: {tmp_path / 'none'}"))
    assert built.said("warning")[0].startswith(f"{AT}.candidate_path: names a checkpoint that cannot be used")
    assert built.good.routing.routed["auto"].learning.candidate == str(tmp_path / "none")
    assert build(_entry(f"{names}, candidate_path: {checkpoint}")).said("warning") == []
