from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from pointsman.batches.protocol.providers.gemini import (
    File,
    Line,
    Listed,
    Problem,
    Told,
    asked,
    complaint,
    read,
    upload,
    wanted,
)


def told(**about: Any) -> Told:
    """A batch whose operation says that."""
    return msgspec.convert({"name": "batches/b", **about}, Told)


@pytest.mark.parametrize("state", ["SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"])
@pytest.mark.parametrize("prefix", ["BATCH_STATE", "JOB_STATE"])
def test_a_batch_that_has_ended_is_over_however_its_state_is_called(prefix: str, state: str) -> None:
    one = told(metadata={"state": f"{prefix}_{state}"})
    assert one.is_over
    assert one.problem == ("" if state == "SUCCEEDED" else f"{state}: ")


@pytest.mark.parametrize("state", ["BATCH_STATE_PENDING", "BATCH_STATE_RUNNING", "BATCH_STATE_OF_TOMORROW", ""])
def test_a_batch_in_any_other_state_is_not_over(state: str) -> None:
    assert not told(metadata={"state": state}).is_over


def test_an_operation_that_is_done_is_over_and_its_error_says_why() -> None:
    assert told(done=True).problem == ""
    failed = told(done=True, error={"code": 9, "message": "no room", "details": []})
    assert (failed.is_over, failed.problem) == (True, "FAILED: no room")


def test_results_are_told_in_either_of_two_places() -> None:
    assert told().files == ()
    assert told(metadata={"output": {"responsesFile": "files/a"}}).files == ("files/a",)
    assert told(response={"@type": "x", "responsesFile": "files/b"}).files == ("files/b",)


def test_the_last_page_of_batches_names_no_next_one() -> None:
    page = msgspec.json.decode(b'{"operations":[{"name":"batches/b"}],"nextPageToken":"t"}', type=Listed)
    assert ([one.name for one in page.operations], page.next_page_token) == (["batches/b"], "t")
    assert msgspec.json.decode(b"{}", type=Listed) == Listed([], "")


def test_a_file_that_is_looked_at_has_to_be_waited_for() -> None:
    assert File("files/a", "PROCESSING").is_pending
    assert not File("files/a", "ACTIVE").is_pending
    assert not File("files/a", "FAILED").is_pending


def test_what_is_sent_is_what_it_documents() -> None:
    body, lines = upload("batch_1", 12)
    assert body == {"file": {"displayName": "batch_1", "mimeType": "application/jsonl"}}
    assert b"x-goog-upload-header-content-length: 12\r\n" in lines
    assert json.loads(asked(3, {"contents": []})) == {"key": "3", "request": {"contents": []}}
    assert asked(3, {}).endswith(b"}\n")
    assert wanted("batch_1", "files/a") == {"batch": {"displayName": "batch_1", "inputConfig": {"fileName": "files/a"}}}


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b'{"key":1}', b"\xff", b"[" * 100_000])
def test_what_is_no_line_of_results_is_none(line: bytes) -> None:
    assert read(line) is None


@pytest.mark.parametrize(
    ("key", "number"), [("7", 7), ("007", 7), ("", None), ("-1", None), ("\u0663", None), ("1" * 10, None), ("x", None)]
)
def test_lines_are_known_by_their_numbers(key: str, number: int | None) -> None:
    assert Line(key).number == number


@pytest.mark.parametrize("member", ["error", "status"])
def test_a_line_that_has_failed_says_why(member: str) -> None:
    found = read(json.dumps({"key": "1", member: {"code": 8, "message": "too many"}}).encode())
    assert found is not None
    assert found.problem == Problem(8, "too many")


def test_a_line_without_an_answer_and_a_reason_has_failed_too() -> None:
    assert Line("1").problem == Problem(2, "The provider gave no answer")
    assert Line("1", msgspec.Raw(b"{}")).problem is None


@pytest.mark.parametrize(
    ("code", "status"), [(3, 400), (8, 429), (13, 500), (14, 503), (404, 404), (0, 500), (99, 500)]
)
def test_codes_of_google_are_told_as_http_has_them(code: int, status: int) -> None:
    assert Problem(code).status == status
    assert json.loads(complaint(Problem(code, "no"))) == {"error": {"code": status, "message": "no"}}
