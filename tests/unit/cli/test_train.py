from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from unit.cli.outcomes import MODELS, rows, run

from pointsman.ml import files
from pointsman.ml.learned import Learned

DATA = Path(__file__).parents[2] / "data" / "routing_sample.jsonl"
CANDIDATES = Path(__file__).parents[3] / "examples" / "routing-candidates.json"


@pytest.mark.requirement("routing.learned.train")
def test_a_table_becomes_a_checkpoint_and_is_compared_with_what_needs_none(outcomes: Path, tmp_path: Path) -> None:
    result = run("train", outcomes, "--out", tmp_path / "c", "--strategy", "knn", "--html", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    first = [line.split("  ")[0] for line in result.output.splitlines()]
    rivals = ["best single model", "zero router", "kNN-5 as in LLMRouter", "task means (told the task)", "oracle"]
    assert [name for name in first if name in {"knn", *rivals}] == ["knn", *rivals]
    assert f"Written to {tmp_path / 'c'}: knn, best single model able" in result.output
    assert "<svg" in (tmp_path / "page.html").read_text()
    learned = Learned.from_checkpoint(files.read(tmp_path / "c"))
    assert (learned.strategy, learned.candidates.names) == ("knn", MODELS)
    quality = learned.score(learned.features([row["query"] for row in rows(2)[::4]])).quality
    assert quality.argmax(1).tolist() == [MODELS.index("clerk"), MODELS.index("poet")]


@pytest.mark.requirement("routing.learned.test-rows")
def test_rows_of_the_split_test_are_not_trained_on_unless_that_is_said(outcomes: Path, tmp_path: Path) -> None:
    result = run("train", outcomes, "--out", tmp_path / "c", "--strategy", "elo")
    assert 'Not trained on: 30 prompts of the split "test"' in result.output
    assert files.read(tmp_path / "c").manifest.data.prompts == 60
    kept = files.read(tmp_path / "c").parts["probes"].settings["prompts"]
    assert {row["split"] for row in rows(90, tests=30) if row["query"] in kept} == {"train"}
    run("train", outcomes, "--out", tmp_path / "c", "--strategy", "elo", "--include-test")
    assert files.read(tmp_path / "c").manifest.data.prompts == 90


@pytest.mark.requirement("routing.learned.no-harm")
def test_a_checkpoint_that_loses_to_the_best_single_model_is_written_only_by_force(
    outcomes: Path, tmp_path: Path
) -> None:
    (tmp_path / "loser.py").write_text(LOSER)
    out = tmp_path / "c"
    arguments = ["train", outcomes, "--out", out, "--estimator", "loser:Loser"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        refused, forced = run(*arguments), run(*arguments, "--force")
    assert refused.exit_code == 1, refused.output
    assert "worse than the best single model by" in refused.output
    assert "nothing is written" in refused.output
    assert forced.exit_code == 0, forced.output
    assert out.is_dir()


LOSER = """
import numpy as np
from pointsman.ml.base import Scores, State

class Loser:
    NAME = "loser"
    def fit(self, features, table):
        self.models = len(table.models)
        return self
    def score(self, features):
        shape = len(features), self.models
        quality = np.zeros(shape, np.float32)
        quality[:, -1] = 1.0
        return Scores(quality, np.zeros(shape, np.float32), np.ones(shape, np.float32))
    def state(self):
        return State({}, {"models": self.models})
    @classmethod
    def from_state(cls, state):
        made = cls()
        made.models = state.settings["models"]
        return made
"""


def test_the_same_data_and_seed_give_the_same_scores(outcomes: Path, tmp_path: Path) -> None:
    quality = []
    for name in ("a", "b"):
        run("train", outcomes, "--out", tmp_path / name, "--strategy", "svm", "--seed", 3)
        learned = Learned.from_checkpoint(files.read(tmp_path / name))
        quality.append(learned.score(learned.features(["clause tenant"])).quality)
    np.testing.assert_array_equal(quality[0], quality[1])


def test_settings_of_the_strategy_are_json_or_texts(outcomes: Path, tmp_path: Path) -> None:
    assert run("train", outcomes, "--out", tmp_path / "c", "--strategy", "knn", "--set", "doubt=3.0").exit_code == 0
    result = run("train", outcomes, "--out", tmp_path / "c", "--strategy", "knn", "--set", "colour=blue")
    assert result.exit_code == 1
    assert "does not have these settings: colour" in result.output
    assert "is not NAME=VALUE" in run("train", outcomes, "--out", tmp_path / "c", "--set", "doubt").output


def test_the_sample_of_llmrouters_table_is_trained_on_with_its_candidates(tmp_path: Path) -> None:
    result = run("train", DATA, "--candidates", CANDIDATES, "--out", tmp_path / "c", "--strategy", "elo", "--force")
    assert result.exit_code == 0, result.output
    manifest = files.read(tmp_path / "c").manifest
    assert manifest.data.labels == 297
    assert {model.input_usd_per_million for model in manifest.models} == {0.1, 0.2, 0.9}
    assert all(model.cost_usd for model in manifest.models)


def test_prompts_are_kept_for_probes_as_many_as_are_wanted(outcomes: Path, tmp_path: Path) -> None:
    run("train", outcomes, "--out", tmp_path / "c", "--strategy", "elo", "--probes", 5)
    assert len(files.read(tmp_path / "c").parts["probes"].settings["prompts"]) == 5
    result = run("train", outcomes, "--out", tmp_path / "c", "--strategy", "elo", "--probes", 0)
    assert "probes" not in files.read(tmp_path / "c").parts
    assert "as text" not in result.output


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--strategy", "best"], "there is no strategy 'best'; there are auto, "),
        (["--strategy", "automix"], "automix asks models on the way, and has nothing of its own to train"),
        (["--strategy", "custom"], "say which estimator of your own with --estimator"),
        (["--estimator", "nowhere:Class"], "nowhere"),
        (["--embedder", "magic:9"], "magic"),
        (["--candidates", __file__], "is no list of candidates"),
    ],
)
def test_what_cannot_be_done_is_said(outcomes: Path, tmp_path: Path, arguments: list[str], what: str) -> None:
    result = run("train", outcomes, "--out", tmp_path / "c", *arguments)
    assert result.exit_code == 1
    assert what in result.output
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("hello", "hello.txt: is in none of the formats"),
        ('{"query": "Hi", "model": "a"}\n', "the data has no score to learn from"),
    ],
)
def test_data_that_cannot_be_used_is_said(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "hello.txt").write_text(text)
    result = run("train", tmp_path / "hello.txt", "--out", tmp_path / "c")
    assert result.exit_code == 1
    assert what in result.output


def test_a_directory_that_is_no_checkpoint_is_not_overwritten(outcomes: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("Mine.")
    result = run("train", outcomes, "--out", tmp_path, "--strategy", "elo")
    assert result.exit_code == 1
    assert "thesis.txt, which is not part of a checkpoint" in result.output
    assert (tmp_path / "thesis.txt").read_text() == "Mine."


def test_too_little_to_compare_is_said(tmp_path: Path) -> None:
    table = tmp_path / "t.jsonl"
    table.write_text("".join(json.dumps({"query": f"p{i}", "model": "a", "score": 1}) + "\n" for i in range(3)))
    result = run("train", table, "--out", tmp_path / "c", "--strategy", "elo")
    assert result.exit_code == 0, result.output
    assert "Too few prompts" in result.output
    assert "nothing is known of the costs of a" in result.output
