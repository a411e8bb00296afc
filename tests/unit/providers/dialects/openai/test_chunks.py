from __future__ import annotations

import json
from typing import Any

from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk
from unit.providers.dialects.openai.golden import built, cases, read_stream, reply_terms

from pointsman.providers.dialects import openai
from pointsman.providers.dialects.openai.chunks import MAX_HELD
from pointsman.providers.dialects.openai.turns import read_turns
from pointsman.wire.chat import (
    ChatRequest,
    Event,
    Finished,
    Foreign,
    TextDelta,
    Tool,
    ToolDelta,
    ToolOpened,
    WholePart,
)
from pointsman.wire.messages import SseMessages


def write(case: Any) -> bytes:
    terms = reply_terms(built(case["request"]))
    writer = openai.stream_writer(terms, merges_reasoning=case["merges_reasoning"])
    return b"".join([*map(writer.write, built(case["canonical"])), writer.close()])


@cases("streams_out")
def test_a_stream_is_written(case: Any) -> None:
    assert write(case).decode() == "".join(line + "\n\n" for line in case["native"])


@cases("streams_out")
def test_openais_sdk_finds_every_member_that_it_requires(case: Any) -> None:
    *lines, last = case["native"]
    assert last == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines]
    for chunk in chunks:
        if not any("custom" in call for choice in chunk["choices"] for call in choice["delta"].get("tool_calls", ())):
            ChatCompletionChunk.model_validate_json(json.dumps(chunk), strict=True)
        for choice in chunk["choices"]:
            assert {"index", "delta", "logprobs", "finish_reason"} <= choice.keys()
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    begun = {choice["index"]: choice["delta"] for chunk in reversed(chunks) for choice in chunk["choices"]}
    assert all(delta["role"] == "assistant" for delta in begun.values())


@cases("streams_out")
def test_usage_is_null_but_for_the_last_chunk_if_it_is_wanted_and_absent_if_not(case: Any) -> None:
    chunks = [json.loads(line.removeprefix("data: ")) for line in case["native"][:-1]]
    if not built(case["request"]).include_usage:
        assert all("usage" not in chunk for chunk in chunks)
    else:
        assert all(chunk["usage"] is None for chunk in chunks if chunk["choices"])
        assert all(chunk["usage"] for chunk in chunks if not chunk["choices"])


@cases("streams", without=("cut",))
def test_a_stream_of_the_same_wire_says_the_same_again(case: Any) -> None:
    events: list[Event] = built(case["canonical"])
    writer = openai.stream_writer(reply_terms(ChatRequest(dialect="openai", turns=[], include_usage=True)))
    text = b"".join([*map(writer.write, events), writer.close()])
    again, is_finished = read_stream(SseMessages().feed(text))
    assert is_finished
    for kind in (TextDelta, ToolDelta, Finished):
        assert [e for e in again if isinstance(e, kind)] == [e for e in events if isinstance(e, kind)]
    opened = [(e.index, e.name, e.kind, e.seal) for e in events if isinstance(e, ToolOpened)]
    assert [(e.index, e.name, e.kind, e.seal) for e in again if isinstance(e, ToolOpened)] == opened


def test_a_stream_that_was_not_said_to_begin_begins_all_the_same() -> None:
    writer = openai.stream_writer(reply_terms())
    assert writer.close() == b"data: [DONE]\n\n"
    assert b'"id":"chatcmpl-u1"' in writer.write(ToolDelta(0, "{}"))


def test_arguments_of_a_custom_tool_that_are_too_long_to_hold_go_on_as_they_are() -> None:
    tools = [Tool(name="code", kind="custom")]
    writer = openai.stream_writer(reply_terms(ChatRequest(dialect="openai", turns=[], tools=tools)))
    writer.write(ToolOpened(index=0, id="c", name="code"))
    assert writer.write(ToolDelta(0, '{"input":"')) == b""
    assert b"xxx" in writer.write(ToolDelta(0, "x" * MAX_HELD))
    assert b"yyy" in writer.write(ToolDelta(0, "yyy"))
    assert writer.write(Finished("tool_calls")).count(b"data: ") == 1


@cases("streams_out")
def test_openais_sdk_can_put_the_chunks_together(case: Any) -> None:
    lines = [json.loads(line.removeprefix("data: ")) for line in case["native"][:-1]]
    state = ChatCompletionStreamState()
    for chunk in lines:
        # Those of free text cannot be put together by the SDK, whoever sends them.
        if not any("custom" in call for choice in chunk["choices"] for call in choice["delta"].get("tool_calls", ())):
            state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    for choice in state.current_completion_snapshot.choices:
        whole = "".join(c["delta"].get("reasoning_content", "") for line in lines for c in line["choices"])
        blocks = getattr(choice.message, "thinking_blocks", [])
        assert not blocks or "".join(block.get("thinking", "") for block in blocks) == whole


def test_citations_that_chat_does_not_have_stand_among_the_specific_fields() -> None:
    cited = {"type": "file_citation", "file_citation": {"filename": "a.pdf"}}
    writer = openai.stream_writer(reply_terms())
    lines = writer.write(TextDelta("", annotations=[cited])).decode().split("\n\n")
    delta = json.loads(lines[1].removeprefix("data: "))["choices"][0]["delta"]
    assert delta == {"content": "", "provider_specific_fields": {"annotations": [cited | {"index": 0}]}}


def test_a_client_that_knows_functions_only_gets_the_first_of_parallel_calls() -> None:
    tools = [Tool(name="f", dialect="openai", raw={"name": "f"})]
    writer = openai.stream_writer(reply_terms(ChatRequest(dialect="openai", turns=[], tools=tools)))
    events: list[Event] = [
        ToolOpened(index=0, id="a", name="f"),
        ToolDelta(0, '{"a":1}'),
        ToolOpened(index=1, id="b", name="f"),
        ToolDelta(1, '{"a":2}'),
        Finished("tool_calls"),
    ]
    state = ChatCompletionStreamState()
    for line in b"".join(map(writer.write, events)).decode().split("\n\n")[:-1]:
        state.handle_chunk(ChatCompletionChunk.model_validate_json(line.removeprefix("data: ")))
    call = state.current_completion_snapshot.choices[0].message.function_call
    assert call is not None
    assert (call.name, call.arguments) == ("f", '{"a":1}')


def test_entries_that_come_one_by_one_are_put_together_by_openais_sdk() -> None:
    cited = {"type": "url_citation", "url_citation": {"url": "https://e.com", "start_index": 0, "end_index": 1}}
    found = Foreign("anthropic", {"type": "server_tool_use", "id": "s1"})
    events: list[Event] = [TextDelta("a"), *[TextDelta("", annotations=[cited])] * 2, *[WholePart(found)] * 2]
    writer = openai.stream_writer(reply_terms())
    lines = b"".join(map(writer.write, [*events, Finished("stop")])).decode().split("\n\n")[:-1]
    state = ChatCompletionStreamState()
    for line in lines:
        state.handle_chunk(ChatCompletionChunk.model_validate_json(line.removeprefix("data: ")))
    said: dict[str, Any] = state.current_completion_snapshot.choices[0].message.to_dict()
    assert [one["index"] for one in said["annotations"]] == [0, 1]
    given_back = read_turns([{"role": "assistant", **said}])
    assert [part for part in given_back[0].parts if isinstance(part, Foreign)] == [found, found]
