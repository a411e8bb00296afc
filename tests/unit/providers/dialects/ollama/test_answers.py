from __future__ import annotations

import json
from typing import Any

import pytest
from unit.providers.dialects.ollama.golden import cases, plain

from pointsman.errors import UpstreamBroken, UpstreamRejected
from pointsman.providers.dialects import ollama
from pointsman.providers.dialects.ollama.answers import read_finish, read_time
from pointsman.wire.chat import ToolCall
from pointsman.wire.usage import Usage


def with_call(function: str) -> bytes:
    return b'{"done": true, "message": {"tool_calls": [{"id": "1", "function": %s}]}}' % function.encode("latin-1")


@cases("answers")
def test_an_answer_is_read(case: dict[str, Any]) -> None:
    assert plain(ollama.read_answer(json.dumps(case["native"]).encode())) == case["canonical"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [('{"a": [1, 2]}', '{"a": [1, 2]}'), ('"{\\"a\\": 1}"', '{"a": 1}'), ("null", "{}"), ("{}", "{}")],
)
def test_arguments_are_text(arguments: str, text: str) -> None:
    (part,) = ollama.read_answer(with_call(f'{{"name": "f", "arguments": {arguments}}}')).choices[0].parts
    assert part == ToolCall(id="1", name="f", arguments=text)


def test_calls_without_ids_get_different_ones() -> None:
    call = {"function": {"name": "f", "arguments": {}}}
    answers = [{"created_at": at, "done": True, "message": {"tool_calls": [call, call]}} for at in ("a", "b")]
    read = [ollama.read_answer(json.dumps(answer).encode()) for answer in answers]
    ids = {part.id for answer in read for part in answer.choices[0].parts if isinstance(part, ToolCall)}
    assert len(ids) == 4
    assert ollama.read_answer(json.dumps(answers[0]).encode()) == read[0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"done": true}',
        b'{"message": {"content": "a"}}',
        b'{"message": {"content": "a"}, "done": "yes"}',
        b'{"message": {"content": 7}, "done": true}',
        b'{"message": {"content": "\xff"}, "done": true}',
        with_call("{}"),
        with_call('{"name": 7}'),
        with_call('{"name": "f", "arguments": {"a": "\xff"}}'),
        with_call('{"name": "f", "arguments": "\xff"}'),
        b'{"message": {"images": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_answer_is_broken(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        ollama.read_answer(body)


def test_an_error_with_status_200_is_one() -> None:
    with pytest.raises(UpstreamRejected, match="out of memory"):
        ollama.read_answer(b'{"error": "out of memory"}')


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ({}, None),
        ({"eval_count": 3}, Usage(output_tokens=3, total_tokens=3)),
        ({"eval_count": "x", "prompt_eval_count": -1}, Usage()),
    ],
)
def test_counts_may_be_missing_or_odd(counts: dict[str, Any], usage: Usage | None) -> None:
    answer = {"done": True, "message": {"content": "a"}} | counts
    assert ollama.read_answer(json.dumps(answer).encode()).usage == usage


@pytest.mark.parametrize(
    ("word", "has_calls", "finish"),
    [
        ("stop", False, ("stop", None)),
        (None, True, ("tool_calls", None)),
        ("length", True, ("length", None)),
        ("load", False, ("stop", "load")),
    ],
)
def test_a_reason_is_understood(word: str | None, has_calls: bool, finish: object) -> None:
    assert read_finish(word, has_calls=has_calls) == finish


@pytest.mark.parametrize(
    ("value", "time"),
    [
        ("2023-08-04T08:52:19.385406455-07:00", 1691164339),
        ("1970-01-01T00:00:00Z", 0),
        ("", None),
        ("yesterday", None),
        (7, None),
        (None, None),
    ],
)
def test_a_date_is_unix_time(value: object, time: int | None) -> None:
    assert read_time(value) == time
