"""``pointsman batch`` against a gateway as a process."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from system.batching import CONFIG, MASTER, jsonl, line, lines
from system.process import Gateway, pointsman


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("gateway"), CONFIG) as running:
        yield running


@pytest.mark.requirement("batches.command")
def test_a_file_is_submitted_watched_and_its_results_fetched(gateway: Gateway, tmp_path: Path) -> None:
    where = ("--url", gateway.base_url, "--key", MASTER)
    (tmp_path / "in.jsonl").write_bytes(jsonl(lines(30)))
    made = pointsman(tmp_path, "batch", "submit", "in.jsonl", "--metadata", "run=one", *where)
    assert made.returncode == 0, made
    batch_id = made.stdout.strip()
    assert re.fullmatch(r"batch_\w+", batch_id)
    seen = pointsman(tmp_path, "batch", "status", batch_id, "--watch", "--every", "0.1", *where)
    assert seen.returncode == 0, seen
    assert f"{batch_id}: completed, 30 of 30 completed, 0 failed" in seen.stdout
    fetched = pointsman(tmp_path, "batch", "results", batch_id, *where)
    assert {json.loads(one)["custom_id"] for one in fetched.stdout.splitlines()} == {f"line-{n}" for n in range(30)}
    late = pointsman(tmp_path, "batch", "cancel", batch_id, *where)
    assert (late.returncode, "Cannot cancel" in late.stderr) == (1, True)


@pytest.mark.requirement("batches.command")
def test_one_command_does_all_of_it(gateway: Gateway, tmp_path: Path) -> None:
    where = ("--url", gateway.base_url, "--key", MASTER, "--every", "0.1")
    (tmp_path / "in.jsonl").write_bytes(jsonl(lines(5)))
    done = pointsman(tmp_path, "batch", "submit", "in.jsonl", "--wait", "-o", "out.jsonl", *where)
    assert (done.returncode, done.stdout) == (0, ""), done
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 5


def test_what_is_wrong_with_a_file_is_printed_with_its_line(gateway: Gateway, tmp_path: Path) -> None:
    where = ("--url", gateway.base_url, "--key", MASTER, "--every", "0.1")
    (tmp_path / "in.jsonl").write_bytes(jsonl([line("a"), line("a")]))
    done = pointsman(tmp_path, "batch", "submit", "in.jsonl", "--wait", *where)
    assert done.returncode == 1
    assert "line 2: Line 1 has the 'custom_id' 'a' already" in done.stderr
    assert "failed" in done.stderr
