from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from unit.providers.dialects.anthropic import golden

from pointsman.errors import GatewayError, UpstreamBroken
from pointsman.providers.dialects.anthropic import read_answer, write_answer
from pointsman.providers.dialects.anthropic.answers import read_blocks, write_part
from pointsman.providers.translation import ReplyTerms
from pointsman.wire.chat import Answer, Audio, ChatRequest, Text, ToolCall

TERMS = ReplyTerms(model="public", unique="u1", created=1, request=ChatRequest(dialect="anthropic", turns=[]))


@pytest.mark.parametrize("path", golden.cases("answers"), ids=lambda path: path.stem)
def test_a_providers_answer_is_read_as_recorded(path: Path) -> None:
    case = golden.load(path)
    assert read_answer(msgspec.json.encode(case["native"])) == golden.answer(case["canonical"])


@pytest.mark.parametrize("path", golden.cases("answers_out"), ids=lambda path: path.stem)
def test_an_answer_is_written_as_recorded(path: Path) -> None:
    case = golden.load(path)
    assert write_answer(golden.answer(case["canonical"]), TERMS) == case["native"]


@pytest.mark.parametrize("path", golden.cases("answers"), ids=lambda path: path.stem)
def test_what_was_read_can_be_written_and_read_again(path: Path) -> None:
    answer = golden.answer(golden.load(path)["canonical"])
    again = read_answer(msgspec.json.encode(write_answer(answer, TERMS)))
    assert again.usage == answer.usage or answer.usage is None
    assert (again.choices[0].finish, again.choices[0].stop_sequence) == (
        answer.choices[0].finish,
        answer.choices[0].stop_sequence,
    )
    if answer.choices[0].finish != "refusal":
        assert again.choices[0].parts == answer.choices[0].parts


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"<html>",
        b"{}",
        b'{"content": "Hi"}',
        b'{"content": [{"type": "text", "text": "\xff"}]}',
        b'{"content": [7]}',
        b'{"content": [{"text": "a"}]}',
        b'{"content": [{"type": ["text"], "text": "a"}]}',
        b'{"content": [{"type": "text", "text": 7}]}',
        b'{"content": [{"type": "tool_use", "id": "a", "name": "f", "input": []}]}',
        b'{"content":' + b"[" * 9000,
    ],
)
def test_what_is_no_answer_is_a_broken_upstream(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        read_answer(body)


def test_an_error_with_status_200_is_an_error() -> None:
    with pytest.raises(GatewayError) as caught:
        read_answer(b'{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}')
    assert (caught.value.status, caught.value.message) == (503, "Overloaded")


def test_an_answer_without_choices_is_a_broken_upstream() -> None:
    with pytest.raises(UpstreamBroken):
        write_answer(Answer(choices=[], dialect="openai"), TERMS)


def test_positions_of_citations_count_in_the_whole_text() -> None:
    cited = {"type": "text", "text": "bc", "citations": [{"url": "https://e.com"}]}
    parts = read_blocks([{"type": "text", "text": "a"}, {"type": "new"}, cited])
    assert isinstance(parts[2], Text)
    place = parts[2].annotations[0]["url_citation"]
    assert (place["start_index"], place["end_index"]) == (1, 3)


def test_a_call_without_an_id_gets_the_spare_one() -> None:
    block = write_part(ToolCall(id="", name="f", arguments=""), "", "toolu_7")
    assert block == {"type": "tool_use", "id": "toolu_7", "name": "f", "input": {}}
    assert write_part(Audio(id="a"), "", "") is None
