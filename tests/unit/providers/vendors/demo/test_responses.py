from __future__ import annotations

import json
from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.vendors.demo.responses import responses

NOW = 1_700_000_000.0


def answer(body: dict[str, Any]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(responses(json.dumps({"model": "small"} | body).encode(), NOW).pieces[0][1])
    return value


def events(body: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for _, piece in responses(json.dumps({"model": "small", "stream": True} | body).encode(), NOW).pieces:
        name, _, data = piece.decode().strip().partition("\n")
        value = json.loads(data.removeprefix("data: "))
        assert name == f"event: {value['type']}"
        found.append(value)
    return found


@pytest.mark.parametrize(
    "given",
    [
        "hi",
        [{"role": "user", "content": "hi"}],
        [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        [{"type": "function_call_output", "call_id": "1", "output": "x"}],
    ],
)
def test_every_form_of_input_is_answered(given: Any) -> None:
    body = answer({"input": given, "instructions": "be brief"})
    assert (body["object"], body["status"], body["error"]) == ("response", "completed", None)
    [item] = body["output"]
    assert item["content"][0]["type"] == "output_text"
    assert "demo" in item["content"][0]["text"]
    usage = body["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["input_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 0}


def test_the_events_come_in_openais_order() -> None:
    found = events({"input": "hi"})
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    kinds = [event["type"] for event in found]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert set(kinds[4:-4]) == {"response.output_text.delta"}
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


def test_the_stream_says_the_same_as_the_whole() -> None:
    found = events({"input": "hi"})
    text = "".join(event["delta"] for event in found if event["type"] == "response.output_text.delta")
    final = found[-1]["response"]
    assert final["output"][0]["content"][0]["text"] == text
    assert text == answer({"input": "hi"})["output"][0]["content"][0]["text"]
    assert found[0]["response"]["id"] == final["id"]
    assert found[0]["response"]["status"] == "in_progress"


def test_a_limit_makes_it_incomplete() -> None:
    body = answer({"input": "hi", "max_output_tokens": 3})
    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert events({"input": "hi", "max_output_tokens": 3})[-1]["type"] == "response.incomplete"


def test_json_is_honoured() -> None:
    body = answer({"input": "hi", "text": {"format": {"type": "json_object"}}})
    assert json.loads(body["output"][0]["content"][0]["text"])["is_demo"] is True


@pytest.mark.parametrize("given", [None, "", 7, [], {}])
def test_another_input_is_refused(given: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        answer({"input": given})
    assert caught.value.param == "input"
