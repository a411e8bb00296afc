from __future__ import annotations

from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.anthropic.blocks import Writing, write_mark, write_parts, write_source
from pointsman.wire.chat import (
    Audio,
    CacheMark,
    Document,
    Foreign,
    Image,
    Part,
    Refusal,
    Role,
    Seal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)


def write(*parts: Part, role: Role = "user", **how: Any) -> tuple[list[dict[str, Any]], list[str]]:
    lost: list[str] = []
    return write_parts([*parts], role, "messages[2]", Writing(lose=lost.append, **how)), lost


@pytest.mark.parametrize(
    ("part", "role"),
    [
        (Audio(data="UklG", format="wav"), "user"),
        (Document(data="UEs=", media_type="application/zip"), "user"),
        (Document(data="/w==", media_type="text/plain"), "user"),
        (Document(data="!", media_type="text/plain"), "user"),
        (Document(url="https://e.com/a.mp4", media_type="video/mp4"), "user"),
        (Document(text="a"), "assistant"),
        (Image(url="https://e.com/a.png"), "assistant"),
        (Foreign("gemini", {}), "user"),
    ],
)
def test_a_part_that_has_no_form_here_is_lost_by_its_place(part: Part, role: Role) -> None:
    assert write(Text("a"), part, role=role) == ([{"type": "text", "text": "a"}], ["messages[2].content[1]"])


def test_a_part_that_has_no_form_here_is_lost_out_of_a_result_too() -> None:
    result = ToolResult(call_id="1", parts=[Text("a"), Foreign("gemini", {})])
    blocks, lost = write(result)
    assert blocks[0]["content"] == [{"type": "text", "text": "a"}]
    assert lost == ["messages[2].content[0].content[1]"]


@pytest.mark.parametrize(
    "part",
    [
        Text(" \n"),
        Refusal(""),
        Thinking("a"),
        Thinking("a", seal=Seal("gemini", "x")),
        Thinking("a", seal=Seal("anthropic", "")),
    ],
)
def test_what_carries_nothing_is_left_out_without_a_word(part: Part) -> None:
    assert write(part, role="assistant") == ([], [])


def test_models_that_sign_nothing_get_their_reasoning_back() -> None:
    blocks, _ = write(Thinking("a", seal=Seal("anthropic", "")), role="assistant", is_claude=False)
    assert blocks == [{"type": "thinking", "thinking": "a", "signature": ""}]


def test_cache_marks_are_written_unless_they_are_dropped() -> None:
    part = Text("a", cache=CacheMark("1h"))
    assert write(part)[0][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"} == write_mark(CacheMark("1h"))
    assert "cache_control" not in write(part, has_marks=False)[0][0]


def test_a_call_and_its_result_keep_the_same_id() -> None:
    blocks, _ = write(
        ToolCall(id="functions.f:0", name="f", arguments=""), ToolResult(call_id="functions.f:0", parts=[])
    )
    assert blocks[0]["id"] == blocks[1]["tool_use_id"] == "functions_f_0_b9a7d792"


def test_ids_that_differ_stay_different() -> None:
    blocks, _ = write(*(ToolCall(id=call_id, name="f", arguments="") for call_id in ("f.1", "f:1", "f_1")))
    assert len({block["id"] for block in blocks}) == len(blocks)


@pytest.mark.parametrize("part", [Image(file_id="file-abc"), Document(file_id="file-abc")])
def test_a_file_that_openai_keeps_is_lost(part: Part) -> None:
    assert write(part) == ([], ["messages[2].content[0]"])


@pytest.mark.parametrize("arguments", ["[]", "{", "7", '{"a":' * 5000])
def test_arguments_that_are_no_object_are_refused(arguments: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        write(ToolCall(id="1", name="f", arguments=arguments))
    assert caught.value.param == "messages[2].content[0]"


def test_the_text_for_a_custom_tool_becomes_an_input() -> None:
    blocks, _ = write(ToolCall(id="1", name="f", arguments="*** Begin", kind="custom"))
    assert blocks[0]["input"] == {"input": "*** Begin"}


def test_sources_are_addresses_files_or_data() -> None:
    assert write_source(Image(url="u")) == {"type": "url", "url": "u"}
    assert write_source(Image(file_id="f")) == {"type": "file", "file_id": "f"}
    assert write_source(Image(data="d")) == {"type": "base64", "media_type": "image/png", "data": "d"}
    assert write_source(Image(data="d", media_type="image/jpg"))["media_type"] == "image/jpeg"
    assert write_source(Document(data="d"))["media_type"] == "application/pdf"
