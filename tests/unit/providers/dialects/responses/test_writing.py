from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import msgspec
import openai
import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter
from unit.providers.dialects.responses import golden

from pointsman.errors import UpstreamBroken, UpstreamTimeout
from pointsman.providers.dialects import responses
from pointsman.providers.translation import ReplyTerms
from pointsman.wire.chat import ChatRequest, Event, Finished, Started, TextDelta, Tool, ToolDelta, ToolOpened
from pointsman.wire.messages import SseMessages

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
CASES = golden.cases("streams_out")


def write(request: ChatRequest, events: list[Event]) -> list[bytes]:
    terms = ReplyTerms(model="public-name", unique="Zx9", created=1_700_000_000, request=request)
    writer = responses.stream_writer(terms)
    return [*map(writer.write, events), writer.close()]


def written(path: Path) -> tuple[list[bytes], list[str]]:
    case = golden.load(path)
    events = [golden.value(pair) for pair in case["canonical"]]
    return write(golden.request(case["request"]), events), case["native"]


def decoded(pieces: list[bytes]) -> list[tuple[str, dict[str, Any]]]:
    return [(name.decode(), msgspec.json.decode(data)) for name, data in SseMessages().feed(b"".join(pieces))]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_stream_is_written_event_by_event(path: Path) -> None:
    pieces, native = written(path)
    assert [piece.decode() for piece in pieces] == native


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_each_event_is_named_and_counted_and_all_that_openais_sdk_insists_on(path: Path) -> None:
    for number, (name, data) in enumerate(decoded(written(path)[0])):
        assert data["type"] == name
        assert data["sequence_number"] == number
        assert EVENTS.validate_python(data, strict=True).type == name


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_what_is_done_is_what_was_said_in_pieces(path: Path) -> None:
    said: dict[str, str] = {}
    done: list[dict[str, Any]] = []
    for name, data in decoded(written(path)[0]):
        if name.endswith(".delta"):
            said[data["item_id"]] = said.get(data["item_id"], "") + data["delta"]
        elif name == "response.output_item.done":
            assert data["output_index"] == len(done)
            done.append(data["item"])
        elif name in ("response.completed", "response.incomplete"):
            assert data["response"]["output"] == done
    for item in done:
        assert said.get(item["id"], "") == whole_text(item)


def whole_text(item: dict[str, Any]) -> str:
    if item["type"] == "message":
        return "".join(part.get("text", part.get("refusal", "")) for part in item["content"])
    if item["type"] == "reasoning":
        return "".join(part["text"] for part in item["summary"])
    text: str = item.get("arguments", item.get("input", ""))
    return text


def client(body: bytes) -> openai.OpenAI:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body)

    return openai.OpenAI(
        api_key="k",
        base_url="http://gateway.test/v1",
        http_client=httpx2.Client(transport=httpx2.MockTransport(answer)),
    )


@pytest.mark.requirement("responses.stream-sdk")
@pytest.mark.parametrize("path", [path for path in CASES if "cut" not in path.stem and "filter" not in path.stem])
def test_openais_sdk_gathers_the_whole_response(path: Path) -> None:
    pieces, _ = written(path)
    with client(b"".join(pieces)) as sdk, sdk.responses.stream(model="m", input="x") as stream:
        final = stream.get_final_response()
    assert final.status == "completed"
    assert [item.type for item in final.output] == [
        data["item"]["type"] for name, data in decoded(pieces) if name == "response.output_item.done"
    ]


def test_openais_sdk_raises_when_a_stream_fails() -> None:
    pieces = write(ChatRequest(dialect="responses", turns=[]), [Started(id="resp_1"), TextDelta("Hel")])[:-1]
    body = b"".join(pieces) + responses.error_event(UpstreamTimeout())
    with client(body) as sdk, sdk.responses.create(model="m", input="x", stream=True) as stream:  # noqa: SIM117 (the second raises)
        with pytest.raises(openai.APIError, match="did not answer in time") as raised:
            list(stream)
    assert raised.value.code == "upstream_timeout"


def test_an_answer_that_says_nothing_is_complete_too() -> None:
    pieces = write(ChatRequest(dialect="responses", turns=[]), [Started(), Finished("stop")])
    events = decoded(pieces)
    assert [name for name, _ in events] == ["response.created", "response.in_progress", "response.completed"]
    assert events[0][1]["response"]["id"] == "resp_Zx9"
    assert events[-1][1]["response"]["usage"]["total_tokens"] == 0


def test_calls_without_an_id_get_one_each() -> None:
    calls = [ToolOpened(index=0, id="", name="f"), ToolOpened(index=1, id="", name="f")]
    request = ChatRequest(dialect="responses", turns=[])
    events: list[Event] = [Started(), *calls, Finished("tool_calls")]
    last = decoded(write(request, events))[-1][1]
    assert [item["call_id"] for item in last["response"]["output"]] == ["call_Zx90", "call_Zx91"]


def test_arguments_of_a_call_that_is_over_have_no_form() -> None:
    request = ChatRequest(dialect="responses", turns=[])
    events: list[Event] = [
        Started(),
        ToolOpened(index=0, id="c", name="f"),
        ToolDelta(0, '{"a"'),
        TextDelta("x"),
        ToolDelta(0, ":1}"),
    ]
    with pytest.raises(UpstreamBroken, match="is over"):
        write(request, events)


def test_a_custom_call_that_was_cut_holds_what_there_is_of_its_text() -> None:
    request = ChatRequest(dialect="responses", turns=[], tools=[Tool(name="patch", kind="custom")])
    events: list[Event] = [
        Started(),
        ToolOpened(index=0, id="c", name="patch"),
        ToolDelta(0, '{"input":"*** Be'),
        Finished("length"),
    ]
    last = decoded(write(request, events))[-1][1]
    assert [(item["input"], item["status"]) for item in last["response"]["output"]] == [("*** Be", "incomplete")]


def test_log_probabilities_may_come_after_the_text() -> None:
    entry = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}
    events: list[Event] = [Started(), TextDelta("Hi"), TextDelta("", logprobs=[entry]), Finished("stop")]
    _, last = decoded(write(ChatRequest(dialect="responses", turns=[]), events))[-1]
    assert last["response"]["output"][0]["content"][0]["logprobs"] == [entry]


def test_what_comes_after_the_reason_for_the_end_is_part_of_the_response() -> None:
    events: list[Event] = [Started(), TextDelta("a"), Finished("stop"), TextDelta("b")]
    *_, (_, done), (_, last) = decoded(write(ChatRequest(dialect="responses", turns=[]), events))
    assert done["item"] == last["response"]["output"][1]
    assert whole_text(done["item"]) == "b"
