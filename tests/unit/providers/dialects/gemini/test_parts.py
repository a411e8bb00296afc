from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.gemini import wire
from pointsman.providers.dialects.gemini.parts import (
    arguments_of,
    call_id,
    mark_first_call,
    media_of,
    seal_of,
    write_part,
)
from pointsman.providers.dialects.gemini.seals import SKIP_ENCODED
from pointsman.wire.chat import Audio, Document, Foreign, Image, Part, Seal, Text, Thinking, ToolCall, ToolResult


def part(raw: bytes) -> wire.Part:
    return msgspec.json.decode(raw, type=wire.Part)


def test_an_id_is_kept_or_made_of_what_ids_may_have() -> None:
    assert call_id(wire.FunctionCall("f", id="own"), "r", 0) == "own"
    assert call_id(wire.FunctionCall("f"), "a/b=c", 2) == "call_abc_2"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"functionCall":{"name":"f"}}', "{}"),
        (b'{"functionCall":{"name":"f","args":null}}', "{}"),
        (b'{"functionCall":{"name":"f","args":{\n "a": 1.50,\n "b": [1, 2]}}}', '{"a":1.50,"b":[1,2]}'),
    ],
)
def test_arguments_are_compact_and_otherwise_as_they_were(raw: bytes, expected: str) -> None:
    call = part(raw).function_call
    assert call is not None
    assert arguments_of(call) == expected


def test_arguments_that_are_no_object_are_the_providers_fault() -> None:
    with pytest.raises(UpstreamBroken):
        arguments_of(wire.FunctionCall("f", args=msgspec.Raw(b"[1]")))


def test_what_comes_in_one_piece_is_read() -> None:
    assert media_of(part(b'{"inlineData":{"mimeType":"image/png","data":"AA"}}')) == Image(
        data="AA", media_type="image/png"
    )
    assert media_of(part(b'{"fileData":{"fileUri":"gs://a/b.pdf"}}')) == Document(
        file_id="gs://a/b.pdf", media_type="application/pdf"
    )
    signed = part(b'{"toolCall":{"id":"x"},"thoughtSignature":"Ab"}')
    assert media_of(signed) == Foreign("gemini", {"toolCall": {"id": "x"}, "thoughtSignature": "Ab"})
    assert media_of(part(b'{"text":"a"}')) is None


def test_an_empty_signature_is_none() -> None:
    assert seal_of(part(b'{"thoughtSignature":""}')) is None
    assert seal_of(part(b'{"thoughtSignature":"Ab"}')) == Seal("gemini", "Ab")
    assert seal_of(part(b'{"thoughtSignature":"skip_thought_signature_validator"}')) is None


def test_the_first_call_is_marked_if_it_has_no_signature() -> None:
    calls: list[dict[str, Any]] = [{"text": "a"}, {"functionCall": {"name": "f"}}, {"functionCall": {"name": "g"}}]
    assert mark_first_call(calls)
    assert [part.get("thoughtSignature") for part in calls] == [None, SKIP_ENCODED, None]
    signed = [{"functionCall": {"name": "f"}, "thoughtSignature": "Ab"}]
    assert mark_first_call(signed)
    assert signed[0]["thoughtSignature"] == "Ab"
    assert not mark_first_call([{"text": "a"}])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Text(""), None),
        (Text("", seal=Seal("gemini", "Ab")), {"text": "", "thoughtSignature": "Ab"}),
        (Thinking("a"), None),
        (ToolCall(id="", name="f", arguments=" "), None),
        (ToolCall(id="", name="f", arguments=""), {"functionCall": {"name": "f", "args": {}}}),
        (ToolCall(id="a", name="f", arguments="[1]"), None),
        (ToolCall(id="a", name="f", arguments='{"a":' * 100 + "1" + "}" * 100), None),
        (
            ToolCall(id="a", name="f", arguments="ls", kind="custom"),
            {"functionCall": {"id": "a", "name": "f", "args": {"input": "ls"}}},
        ),
        (Image(file_id="file-1"), None),
        (Image(url="https://e.org/a.png"), {"fileData": {"fileUri": "https://e.org/a.png", "mimeType": "image/png"}}),
        (Document(text="plain"), {"text": "plain"}),
        (Document(data="AA", media_type="text/csv"), {"inlineData": {"mimeType": "text/csv", "data": "AA"}}),
        (Audio(id="a"), None),
        (Foreign("anthropic", {}), None),
        (Foreign("gemini", {"executableCode": {}}), {"executableCode": {}}),
        (ToolResult(call_id="a", parts=[]), None),
    ],
)
def test_a_part_is_written_if_there_is_something_to_show(given: Part, expected: dict[str, Any] | None) -> None:
    assert write_part(given, is_thinking_shown=False) == expected
