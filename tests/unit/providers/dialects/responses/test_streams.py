from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from unit.providers.dialects.responses import golden

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects import responses
from pointsman.wire.chat import Event, Failed, Finished, Started, TextDelta, ToolDelta, ToolOpened
from pointsman.wire.messages import SseMessages

ODD: tuple[Any, ...] = (None, True, -1, 0.5, "odd", [], {}, [7], {"type": "message"}, [{"type": None}])

PIECES: dict[str, Callable[[bytes], Iterable[bytes]]] = {
    "whole": lambda text: [text],
    "byte by byte": lambda text: [text[at : at + 1] for at in range(len(text))],
    "with leftovers": lambda text: [text[at : at + 7] for at in range(0, len(text), 7)],
}


def read(pieces: Iterable[bytes]) -> tuple[list[Event], bool]:
    reader, messages = responses.stream_reader(), SseMessages()
    events: list[Event] = []
    for piece in pieces:
        for name, data in messages.feed(piece):
            events.extend(reader.read(name, data))
    for name, data in messages.close():
        events.extend(reader.read(name, data))
    events.extend(reader.close())
    return events, reader.is_finished


def told(event: Event) -> Any:
    if isinstance(event, Failed):
        return {"status": event.error.status, "code": event.error.code, "message": event.error.message}
    return event


@pytest.mark.parametrize("cut", PIECES.values(), ids=PIECES.keys())
@pytest.mark.parametrize("path", golden.cases("streams"), ids=lambda path: path.stem)
def test_a_stream_is_read_however_it_comes(path: Path, cut: Callable[[bytes], Iterable[bytes]]) -> None:
    case = golden.load(path)
    events, is_finished = read(cut("".join(case["native"]).encode()))
    expected = [pair[1] if pair[0] == "Failed" else golden.value(pair) for pair in case["canonical"]]
    assert [told(event) for event in events] == expected
    assert is_finished is case["is_finished"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not json",
        b"7",
        b"[]",
        b'{"type":7}',
        b'{"type":"response.output_text.delta","delta":7}',
        b'{"type":"response.output_text.delta","delta":"x","output_index":"0"}',
        b'{"type":"response.function_call_arguments.delta","output_index":9,"delta":"x"}',
        b'{"type":"response.completed"}',
        b'{"type":"response.completed","response":7}',
        b'{"type":"response.output_text.delta","delta":"cut of',
        b"[" * 5000,
    ],
)
def test_a_message_that_cannot_be_understood_is_a_broken_upstream(data: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        list(responses.stream_reader().read(b"", data))


@pytest.mark.parametrize("path", golden.cases("streams"), ids=lambda path: path.stem)
def test_odd_values_are_skipped_or_a_broken_upstream_and_nothing_else(path: Path) -> None:
    messages = SseMessages().feed("".join(golden.load(path)["native"]).encode())
    outcomes = set()
    for at, (_, data) in enumerate(messages):
        if data.startswith(b"["):
            continue
        for changed in mutants(msgspec.json.decode(data)):
            reader = responses.stream_reader()
            try:
                for _, before in messages[:at]:
                    list(reader.read(b"", before))
                list(reader.read(b"", msgspec.json.encode(changed)))
                for _, after in messages[at + 1 :]:
                    list(reader.read(b"", after))
                outcomes.add("read")
            except UpstreamBroken:
                outcomes.add("broken")
    assert outcomes == {"read", "broken"}


def mutants(value: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for name, inner in value.items():
        for odd in ODD:
            yield value | {name: odd}
        if isinstance(inner, dict):
            for changed in mutants(inner):
                yield value | {name: changed}
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            for changed in mutants(inner[0]):
                yield value | {name: [changed]}


def test_types_that_nobody_knows_are_skipped() -> None:
    reader = responses.stream_reader()
    assert list(reader.read(b"keepalive", b'{"type":"keepalive","sequence_number":3}')) == []
    assert list(reader.read(b"", b'{"ping":1}')) == []


def test_an_error_without_a_type_is_a_failure_and_nothing_follows_it() -> None:
    reader = responses.stream_reader()
    (failed,) = reader.read(b"", b'{"error":{"message":"m","code":"rate_limit_exceeded"}}')
    assert isinstance(failed, Failed)
    assert failed.error.status == 429
    assert list(reader.read(b"", b'{"type":"response.output_text.delta","delta":"x"}')) == []
    assert not reader.is_finished


def test_a_stream_begins_once_whatever_comes_first() -> None:
    reader = responses.stream_reader()
    delta = b'{"type":"response.output_text.delta","delta":"x"}'
    created = b'{"type":"response.created","response":{"id":"resp_1"}}'
    events = [event for data in (delta, created, delta) for event in reader.read(b"", data)]
    assert events == [Started(), TextDelta("x"), TextDelta("x")]


def test_parallel_calls_are_told_apart_by_their_items() -> None:
    reader = responses.stream_reader()
    events: list[Event] = []
    for at in (2, 5):
        item = {"type": "function_call", "call_id": f"c{at}", "name": "f", "arguments": ""}
        added = {"type": "response.output_item.added", "output_index": at, "item": item}
        events.extend(reader.read(b"", msgspec.json.encode(added)))
    for at in (5, 2):
        delta = {"type": "response.function_call_arguments.delta", "output_index": at, "delta": str(at)}
        events.extend(reader.read(b"", msgspec.json.encode(delta)))
    assert events[1:] == [
        ToolOpened(index=0, id="c2", name="f"),
        ToolOpened(index=1, id="c5", name="f"),
        ToolDelta(1, "5"),
        ToolDelta(0, "2"),
    ]


def test_an_answer_that_was_filtered_says_so() -> None:
    reader = responses.stream_reader()
    response = {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
    events = reader.read(b"", msgspec.json.encode({"type": "response.incomplete", "response": response}))
    assert Finished("content_filter", detail="content_filter") in list(events)
