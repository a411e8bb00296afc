from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from unit.cli.scripting import Answers, Scripted, scripted

from pointsman.cli import main
from pointsman.cli.batch import MISSES

LINE = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": "x"}}
SHOW, MAKE, CANCEL = "GET /v1/batches/batch_1", "POST /v1/batches", "POST /v1/batches/batch_1/cancel"
SEND, OUTPUT, ERRORS = "POST /v1/files", "GET /v1/files/file-o/content", "GET /v1/files/file-e/content"


def batch(status: str, completed: int = 0, failed: int = 0, total: int = 10, **more: Any) -> Any:
    counts = {"total": total, "completed": completed, "failed": failed}
    told = {"id": "batch_1", "status": status, "request_counts": counts, "errors": None}
    return told | {"output_file_id": None, "error_file_id": None, "usage": {"total_tokens": 7}} | more


DONE = batch("completed", 9, 1, output_file_id="file-o", error_file_id="file-e")


def run(answers: Answers, *words: str) -> tuple[Result, Scripted]:
    with scripted(answers) as gateway:
        every = ["--every", "0"] if words[0] != "cancel" else []
        return CliRunner().invoke(main, ["batch", *words, "--url", gateway.url, "--key", "sk-1", *every]), gateway


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / 'in"put.jsonl'
    path.write_text(json.dumps(LINE) + "\n")
    return str(path)


@pytest.mark.parametrize("name", [b"a\xff.jsonl", b"a\n.jsonl"])
def test_a_file_of_any_name_is_uploaded(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_text("\n \n" + json.dumps(LINE))
    answers: Answers = {SEND: [(200, {"id": "file-1"})], MAKE: [(200, batch("validating", total=0))]}
    done, gateway = run(answers, "submit", str(path))
    assert done.exit_code == 0, done.output
    assert b'filename="a_.jsonl"' in gateway.asked[0][1]


def test_results_that_cannot_be_fetched_leave_those_of_before(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"before")
    answers: Answers = {SHOW: [(200, DONE)], OUTPUT: [(200, b"one\n")], ERRORS: [(404, {})]}
    done, _ = run(answers, "results", "batch_1", "-o", str(tmp_path / "out"))
    assert (done.exit_code, (tmp_path / "out").read_bytes()) == (1, b"before")


def test_a_batch_without_results_leaves_those_of_before(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"before")
    told = batch("failed", total=0, errors={"data": []})
    done, _ = run({SHOW: [(200, told)]}, "results", "batch_1", "-o", str(tmp_path / "out"))
    assert (done.exit_code, (tmp_path / "out").read_bytes()) == (1, b"before")
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_where_no_results_could_be_written_nothing_is_sent(file: str, tmp_path: Path) -> None:
    for words in (("submit", file, "--wait"), ("results", "batch_1")):
        done, gateway = run({}, *words, "-o", str(tmp_path / "none" / "out"))
        assert (done.exit_code, gateway.asked) == (2, [])
        assert f"no file can be made in {tmp_path / 'none'}" in " ".join(done.output.split())


def test_results_that_cannot_be_written_are_said(tmp_path: Path) -> None:
    (tmp_path / "out.part").mkdir()
    done, _ = run({SHOW: [(200, DONE)]}, "results", "batch_1", "-o", str(tmp_path / "out"))
    assert (done.exit_code, done.exception.__class__) == (1, SystemExit)
    assert "out.part: Is a directory" in done.output


def test_results_go_where_a_link_leads_and_into_a_device(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "out").write_bytes(b"before")
    (tmp_path / "link").symlink_to(tmp_path / "there" / "out")
    answers: Answers = {SHOW: [(200, DONE)], OUTPUT: [(200, b"one\n")], ERRORS: [(200, b"two\n")]}
    assert run(answers, "results", "batch_1", "-o", str(tmp_path / "link"))[0].exit_code == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "out").read_bytes() == b"one\ntwo\n"
    assert run(answers, "results", "batch_1", "-o", "/dev/null")[0].exit_code == 0


def test_a_file_is_uploaded_and_becomes_a_batch(file: str) -> None:
    answers: Answers = {SEND: [(200, {"id": "file-1"})], MAKE: [(200, batch("validating", total=0))]}
    done, gateway = run(answers, "submit", file, "--metadata", "run=one", "--metadata", "a=b=c")
    assert (done.exit_code, done.stdout) == (0, "batch_1\n"), done.output
    (_, form), (_, asked) = gateway.asked
    assert b'name="purpose"\r\n\r\nbatch\r\n' in form
    assert b'name="file"; filename="in_put.jsonl"\r\n\r\n' + json.dumps(LINE).encode() + b"\n\r\n--" in form
    assert json.loads(asked) == {
        "input_file_id": "file-1",
        "endpoint": "/v1/embeddings",
        "completion_window": "24h",
        "metadata": {"run": "one", "a": "b=c"},
    }


def test_the_results_of_a_file_can_be_waited_for(file: str, tmp_path: Path) -> None:
    answers: Answers = {
        SEND: [(200, {"id": "file-1"})],
        MAKE: [(200, batch("validating", total=0))],
        SHOW: [(200, batch("validating", total=0)), (200, batch("in_progress", 4, 1)), (200, DONE)],
        OUTPUT: [(200, b"one\n")],
        ERRORS: [(200, b"two\n")],
    }
    done, _ = run(answers, "submit", file, "--endpoint", "/v1/x", "--wait", "-o", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out").read_bytes() == b"one\ntwo\n"
    assert "batch_1" in done.stderr


@pytest.mark.parametrize(
    ("line", "words", "said"),
    [
        ("[]", [], "has no 'url'"),
        ("{}", [], "has no 'url'"),
        ("nothing", [], "has no 'url'"),
        ('{"url": "/v1/x"}', ["--metadata", "a"], "NAME=VALUE"),
    ],
)
def test_what_cannot_be_submitted_is_said_before_anything_is_sent(
    tmp_path: Path, line: str, words: list[str], said: str
) -> None:
    (tmp_path / "in").write_text(line)
    done, gateway = run({}, "submit", str(tmp_path / "in"), *words)
    assert (done.exit_code, gateway.asked) == (2, [])
    assert said in done.output


def test_a_status_is_one_line() -> None:
    done, _ = run({SHOW: [(200, batch("in_progress", 4, 1, is_paused=True))]}, "status", "batch_1")
    assert done.stdout == "batch_1: in_progress (paused), 4 of 10 completed, 1 failed, 7 tokens\n"


def test_a_batch_is_watched_until_it_has_ended_also_over_a_gateway_that_is_away() -> None:
    answers: Answers = {SHOW: [(200, batch("in_progress", 4)), (503, {}), (502, b"<html>"), (200, DONE)]}
    done, gateway = run(answers, "status", "batch_1", "--watch")
    assert (done.exit_code, len(gateway.asked)) == (0, 4)
    assert "completed, 9 of 10 completed" in done.stdout


@pytest.mark.parametrize(("status", "questions"), [(503, 1 + MISSES), (404, 2)])
def test_a_batch_that_cannot_be_seen_any_more_is_given_up(status: int, questions: int) -> None:
    answers: Answers = {SHOW: [(200, batch("in_progress", 4)), (status, {"error": {"message": "gone"}})]}
    done, gateway = run(answers, "status", "batch_1", "--watch")
    assert (done.exit_code, len(gateway.asked)) == (1, questions)
    assert f"status {status}: gone" in done.output


def test_a_batch_is_cancelled() -> None:
    done, _ = run({CANCEL: [(200, batch("cancelling", 4))]}, "cancel", "batch_1")
    assert done.stdout == "batch_1: cancelling, 4 of 10 completed, 0 failed, 7 tokens\n"


def test_results_are_printed_those_that_failed_too() -> None:
    answers: Answers = {SHOW: [(200, DONE)], OUTPUT: [(200, b"one\n" * 100_000)], ERRORS: [(200, b"two\n")]}
    done, _ = run(answers, "results", "batch_1")
    assert (done.exit_code, done.stdout_bytes) == (0, b"one\n" * 100_000 + b"two\n")


def test_there_are_no_results_before_the_end_unless_it_is_waited_for() -> None:
    early, _ = run({SHOW: [(200, batch("in_progress", 4))]}, "results", "batch_1")
    assert (early.exit_code, "it has no results yet" in early.output) == (1, True)
    answers: Answers = {SHOW: [(200, batch("in_progress", 4)), (200, DONE)], OUTPUT: [(200, b"")], ERRORS: [(200, b"")]}
    assert run(answers, "results", "batch_1", "--wait")[0].exit_code == 0


def test_a_batch_that_has_failed_says_why() -> None:
    faults = [{"code": "c", "message": f"wrong {number}", "param": None, "line": number} for number in range(1, 26)]
    faults[0]["line"] = None
    done, _ = run({SHOW: [(200, batch("failed", total=0, errors={"data": faults}))]}, "results", "batch_1")
    assert done.exit_code == 1
    lines = done.stderr.splitlines()
    assert lines[:2] == ["wrong 1", "line 2: wrong 2"]
    assert lines[-2:] == ["and 5 more", "Error: batch_1: failed, 0 of 0 completed, 0 failed, 7 tokens"]


def test_what_expired_has_results_and_is_no_success() -> None:
    told = batch("expired", 3, output_file_id="file-o")
    done, _ = run({SHOW: [(200, told)], OUTPUT: [(200, b"one\n")]}, "results", "batch_1")
    assert (done.exit_code, done.stdout) == (1, "one\n")
