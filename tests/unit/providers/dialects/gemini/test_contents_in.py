from __future__ import annotations

from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.gemini.contents_in import read_contents, read_instruction
from pointsman.providers.dialects.gemini.seals import SKIP, SKIP_ENCODED, write_seal
from pointsman.wire.chat import Foreign, Image, Seal, Text, Thinking, ToolResult, Turn


def parts_of(*parts: dict[str, Any], role: str = "user") -> list[Any]:
    return read_contents([{"role": role, "parts": list(parts)}])[0].parts


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({}, "contents[0].parts[0]"),
        ({"text": 7}, "contents[0].parts[0]"),
        ({"hologram": {}}, "contents[0].parts[0]"),
        ({"text": "a", "thoughtSignature": 7}, "contents[0].parts[0].thoughtSignature"),
        ({"inlineData": 7}, "contents[0].parts[0].inlineData"),
        ({"inlineData": {"mimeType": "image/png"}}, "contents[0].parts[0].inlineData.data"),
        ({"inlineData": {"mimeType": 1, "data": "A"}}, "contents[0].parts[0].inlineData.mimeType"),
        ({"fileData": {"fileUri": ""}}, "contents[0].parts[0].fileData.fileUri"),
        ({"functionCall": {"args": {}}}, "contents[0].parts[0].functionCall.name"),
        ({"functionCall": {"name": "f", "args": []}}, "contents[0].parts[0].functionCall.args"),
        ({"functionCall": {"name": "f", "id": 1}}, "contents[0].parts[0].functionCall.id"),
        ({"functionResponse": {"name": "f", "response": "x"}}, "contents[0].parts[0].functionResponse.response"),
        (
            {"functionResponse": {"name": "f", "parts": [{"inlineData": {}}]}},
            "contents[0].parts[0].functionResponse.parts[0].inlineData.data",
        ),
    ],
)
def test_a_wrong_part_is_refused_by_its_place(part: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parts_of(part)
    assert caught.value.param == param


@pytest.mark.parametrize("role", ["system", "assistant", 7, ["user"]])
def test_roles_are_those_of_google(role: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_contents([{"role": role, "parts": [{"text": "a"}]}])
    assert caught.value.param == "contents[0].role"


def test_texts_stand_for_contents_and_parts() -> None:
    assert read_contents(["a", {"parts": "b"}]) == [Turn("user", [Text("a")]), Turn("user", [Text("b")])]
    assert read_contents({"parts": ["a", "b"]}) == [Turn("user", [Text("a"), Text("b")])]
    assert read_instruction({"parts": "be short"}) == Turn("system", [Text("be short")])
    assert read_instruction(None) is None


@pytest.mark.parametrize("signature", [SKIP, SKIP_ENCODED])
def test_what_stands_for_a_missing_signature_is_none(signature: str) -> None:
    (call,) = parts_of({"functionCall": {"name": "f"}, "thoughtSignature": signature}, role="model")
    assert call.seal is None


def test_foreign_seals_come_back_with_their_thoughts() -> None:
    sealed, redacted = Seal("anthropic", "EqQB"), Seal("anthropic", "abc")
    parts = parts_of(
        {"text": "Hm", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": write_seal(sealed)},
        {"text": "", "thought": True, "thoughtSignature": write_seal(redacted, is_redacted=True)},
        {"thoughtSignature": write_seal(sealed)},
        {"text": "Hi"},
        role="model",
    )
    assert parts == [
        Thinking("Hm", sealed),
        Thinking("", redacted, is_redacted=True),
        Thinking("", sealed),
        Text("Hi"),
    ]


def test_empty_texts_of_a_stream_are_left_out() -> None:
    assert parts_of({"functionCall": {"name": "f"}}, {"text": ""}, role="model")[1:] == []


def test_pieces_of_what_users_say_stay_apart() -> None:
    assert parts_of({"text": "a"}, {"text": "b"}) == [Text("a"), Text("b")]


def test_media_of_results_are_read() -> None:
    png = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}
    sound = {"inlineData": {"mimeType": "audio/wav", "data": "AA=="}}
    response = {"name": "f", "id": "1", "response": {"error": {"code": 7}}, "parts": [png, sound]}
    assert parts_of({"functionResponse": response}) == [
        ToolResult(
            call_id="1",
            name="f",
            is_error=True,
            parts=[Text('{"code":7}'), Image(data="AA==", media_type="image/png"), Foreign("gemini", sound)],
        )
    ]


def test_a_result_without_response_and_call_is_empty() -> None:
    assert parts_of({"function_response": {"name": "f"}}) == [ToolResult(call_id="call_f", name="f", parts=[Text("")])]


@pytest.mark.parametrize("resolution", [{"level": "MEDIA_RESOLUTION_MEDIUM"}, "MEDIA_RESOLUTION_NEW", {}])
def test_a_resolution_that_others_do_not_know_keeps_the_part_googles(resolution: Any) -> None:
    part = {"inlineData": {"mimeType": "image/png", "data": "AA=="}, "mediaResolution": resolution}
    assert parts_of(part) == [Foreign("gemini", part)]
