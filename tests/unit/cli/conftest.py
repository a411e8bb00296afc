from __future__ import annotations

from pathlib import Path

import pytest
from unit.cli.outcomes import rows, run, write


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with 60 prompts to train on and 30 of the split test."""
    return write(tmp_path_factory.mktemp("outcomes") / "outcomes.jsonl", rows(90, tests=30))


@pytest.fixture(scope="session")
def checkpoint(outcomes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made of it, with knn."""
    directory = tmp_path_factory.mktemp("checkpoints") / "knn"
    result = run("train", outcomes, "--out", directory, "--strategy", "llmrouter-knn")
    assert result.exit_code == 0, result.output
    return directory
