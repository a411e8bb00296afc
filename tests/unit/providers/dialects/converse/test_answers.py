from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from unit.providers.dialects.converse import golden

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.converse import read_answer, wire
from pointsman.providers.dialects.converse.answers import read_parts, read_reasoning
from pointsman.wire.chat import Foreign, Seal, Text, Thinking


@pytest.mark.parametrize("path", golden.cases("answers"), ids=lambda path: path.stem)
def test_an_answer_is_read_as_recorded(path: Path) -> None:
    case = golden.load(path)
    assert read_answer(msgspec.json.encode(case["native"])) == golden.answer(case["canonical"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"message":"An error"}',
        b'{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}',
        b'{"output":{}}',
        b'{"output":{"message":{"content":"text"}}}',
        b'{"output":{"message":{"content":[{"text":7}]}}}',
        b'{"output":{"message":{"content":[{"toolUse":{"toolUseId":"x"}}]}}}',
        b'{"output":{"message":{"content":[7]}}}',
        b'{"output":{"message":{"content":[]}},"stopReason":7}',
        b'{"output":{"message":{"content":[{"text":"cut o',
        b'{"output":' * 5000,
        b'{"output":{"message":{"content":[{"text":"\xff"}]}}}',
        b'{"output":{"message":{"content":[{"hologram":{"\xff":1}}]}}}',
        b'{"output":{"message":{"content":[{"toolUse":{"name":"f","input":{"\xff":1}}}]}}}',
    ],
)
def test_what_is_no_answer_is_a_broken_upstream(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        read_answer(body)


def test_an_odd_usage_does_not_cost_the_answer() -> None:
    body = b'{"output":{"message":{"content":[{"text":"x"}]}},"usage":{"inputTokens":"many"}}'
    answer = read_answer(body)
    assert (answer.choices[0].parts, answer.usage) == ([Text("x")], None)


def test_blocks_of_the_future_are_handed_on() -> None:
    raw = {"hologram": {"depth": 3}}
    assert read_parts([msgspec.Raw(msgspec.json.encode(raw))]) == [Foreign("converse", raw)]


def test_reasoning_is_shown_or_sealed() -> None:
    shown = wire.Reasoning(reasoning_text=wire.ReasoningText("t"))
    assert read_reasoning(shown) == Thinking("t")
    assert read_reasoning(wire.Reasoning(redacted_content="x")) == Thinking("", Seal("converse", "x"), is_redacted=True)
    assert read_reasoning(wire.Reasoning()) == Thinking("")
