from __future__ import annotations

import json
from typing import Any

import pytest
from unit.providers.dialects.gemini.golden import cases, plain

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.gemini.requests import write_request
from pointsman.providers.dialects.gemini.requests_in import read_request
from pointsman.providers.translation import Terms


@pytest.mark.requirement("gemini.inbound")
@cases("requests_in")
def test_a_clients_request_is_read(case: dict[str, Any]) -> None:
    assert plain(read_request(json.dumps(case["native"]).encode())) == case["canonical"]


@cases("requests_in")
def test_what_was_read_is_written_and_read_again_as_the_same(case: dict[str, Any]) -> None:
    request = read_request(json.dumps(case["native"]).encode())
    terms = Terms(model=case["model"])
    again = read_request(json.dumps(write_request(request, terms)).encode())
    assert terms.lost == []
    assert plain(again) == plain(request)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"contents": []}, "contents"),
        ({"contents": 7}, "contents"),
        ({"contents": [7]}, "contents[0]"),
        ({"generationConfig": []}, "generationConfig"),
        ({"generationConfig": {"temperature": "hot"}}, "generationConfig.temperature"),
        ({"generationConfig": {"maxOutputTokens": 1.5}}, "generationConfig.maxOutputTokens"),
        ({"generationConfig": {"seed": True}}, "generationConfig.seed"),
        ({"generationConfig": {"stopSequences": "END"}}, "generationConfig.stopSequences"),
        ({"generationConfig": {"responseLogprobs": 3}}, "generationConfig.responseLogprobs"),
        ({"generationConfig": {"thinkingConfig": 1}}, "generationConfig.thinkingConfig"),
        ({"generationConfig": {"responseModalities": "TEXT"}}, "generationConfig.responseModalities"),
        (
            {"generationConfig": {"responseMimeType": "application/json", "responseSchema": "x"}},
            "generationConfig.responseSchema",
        ),
        ({"toolConfig": {"functionCallingConfig": {"mode": "SOME"}}}, "toolConfig.functionCallingConfig.mode"),
        ({"tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
    ],
)
def test_a_wrong_request_is_refused_by_its_place(change: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_request(json.dumps({"contents": "hi"} | change).encode())
    assert caught.value.param == param


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_request(body)


def test_a_request_to_count_may_hold_a_whole_request() -> None:
    inner = {"model": "models/m", "contents": [{"parts": [{"text": "hi"}]}], "systemInstruction": "be short"}
    request = read_request(json.dumps({"generateContentRequest": inner}).encode())
    assert [turn.role for turn in request.turns] == ["system", "user"]
    assert request.model == "models/m"
