from __future__ import annotations

import json
from typing import Any

import pytest

from pointsman.a2a.protocol import answers
from pointsman.a2a.protocol.answers import File, Piece, Reading, Text, Thought
from pointsman.wire.jsonrpc import RpcError


def said(*texts: str, **more: Any) -> dict[str, Any]:
    """A message of the agent."""
    return {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": text} for text in texts], **more}


def status(state: str, text: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"state": f"TASK_STATE_{state}"}
    return found | ({"message": said(text)} if text else {})


def task(state: str, text: str = "", **more: Any) -> dict[str, Any]:
    return {"task": {"id": "t", "contextId": "c", "status": status(state, text), **more}}


def made(text: str, name: str = "a", *, is_more: bool = False) -> dict[str, Any]:
    artifact = {"artifactId": name, "parts": [{"text": text}]}
    return {"artifactUpdate": {"taskId": "t", "contextId": "c", "artifact": artifact, "append": is_more}}


def moved(state: str, text: str = "") -> dict[str, Any]:
    return {"statusUpdate": {"taskId": "t", "contextId": "c", "status": status(state, text)}}


def read(*events: Any) -> tuple[Reading, list[Piece]]:
    reading = Reading()
    return reading, [piece for event in events for piece in reading.read(json.dumps(event).encode())]


def test_a_message_is_an_answer_without_a_task() -> None:
    reading, pieces = read({"message": said("Hi", "there", contextId="c")})
    assert pieces == [Text("Hi\nthere")]
    assert (reading.task, reading.context, reading.state, reading.goes_on) == ("", "c", None, False)


def test_artifacts_are_the_answer_and_a_state_tells_how_far_it_is() -> None:
    artifacts = [{"artifactId": one, "parts": [{"text": one}]} for one in ("A", "B")]
    reading, pieces = read(task("COMPLETED", "Done", artifacts=artifacts))
    assert pieces == [Text("A"), Text("\n\n"), Text("B"), Thought("Done")]
    assert (reading.task, reading.context, reading.state) == ("t", "c", "completed")


@pytest.mark.parametrize("state", ["COMPLETED", "INPUT_REQUIRED", "AUTH_REQUIRED"])
def test_where_there_are_no_artifacts_the_state_has_the_answer(state: str) -> None:
    assert read(task(state, "Which one?"))[1] == [Text("Which one?")]


def test_what_an_agent_wants_to_know_is_said_after_its_artifacts() -> None:
    assert read(made("Draft"), moved("INPUT_REQUIRED", "Go on?"))[1] == [Text("Draft"), Text("\n\n"), Text("Go on?")]


def test_where_there_is_nothing_else_the_last_message_of_the_agent_is_the_answer() -> None:
    history = [said("first"), said("last"), {**said("mine"), "role": "ROLE_USER"}]
    assert read(task("COMPLETED", history=history))[1] == [Text("last")]


@pytest.mark.parametrize("state", ["FAILED", "CANCELED", "REJECTED"])
def test_a_task_that_has_failed_has_no_answer_but_a_complaint(state: str) -> None:
    reading, pieces = read(task(state, "It is too late"))
    assert pieces == []
    assert (reading.has_failed, reading.complaint, reading.goes_on) == (True, "It is too late", False)


@pytest.mark.parametrize("state", ["SUBMITTED", "WORKING"])
def test_a_task_that_goes_on_is_no_answer_yet(state: str) -> None:
    reading, pieces = read(task(state, "a moment"))
    assert (pieces, reading.goes_on) == ([Thought("a moment")], True)


def test_pieces_of_an_artifact_follow_each_other_without_anything_between() -> None:
    events = (task("WORKING"), made("Hel"), made("lo", is_more=True), moved("COMPLETED"))
    assert read(*events)[1] == [Text("Hel"), Text("lo")]


def test_of_an_artifact_that_is_sent_again_only_what_is_new_is_told() -> None:
    assert read(made("Hel"), made("Hello"), made("Hello"))[1] == [Text("Hel"), Text("lo")]
    assert read(made("Hel"), made("Bye"))[1] == [Text("Hel"), Text("\n\n"), Text("Bye")]
    assert read(
        made("Hel"),
        made("lo", is_more=True),
        task("COMPLETED", artifacts=[made("Hello")["artifactUpdate"]["artifact"]]),
    )[1] == [
        Text("Hel"),
        Text("lo"),
    ]


def test_what_is_remembered_of_artifacts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_KEPT", 4)
    assert read(made("12345", "a"), made("12345", "a"))[1] == [Text("12345"), Text("\n\n"), Text("12345")]


def test_parts_are_texts_and_files_and_data_is_text() -> None:
    parts = [
        {"data": {"x": [1]}},
        {"text": "and"},
        {"url": "https://a/b", "mediaType": "image/png", "filename": "b"},
        {"raw": "QUJD"},
        {"strange": 1},
        "odd",
    ]
    assert read({"message": {"parts": parts}})[1] == [
        Text('{"x":[1]}\nand'),
        File(url="https://a/b", media_type="image/png", name="b"),
        File(data="QUJD"),
    ]


@pytest.mark.parametrize("place", ["message", "event", "artifact"])
def test_what_was_used_is_told_in_metadata(place: str) -> None:
    metadata = {"metadata": {"usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}}
    event: Any = {"message": said("Hi", **metadata)}
    if place == "event":
        event = {"statusUpdate": moved("COMPLETED")["statusUpdate"] | metadata}
    if place == "artifact":
        event = task("COMPLETED", artifacts=[{"artifactId": "a", "parts": [], **metadata}])
    usage = read(event)[0].usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (3, 2, 5)


def test_members_of_another_shape_are_nothing() -> None:
    odd = {"id": 1, "contextId": [], "status": "x", "artifacts": {"a": 1}, "history": 3, "metadata": {"usage": "much"}}
    reading, pieces = read({"task": odd, "message": 7, "artifactUpdate": {"artifact": []}, "statusUpdate": {}})
    assert (pieces, reading.task, reading.context, reading.state, reading.usage) == ([], "", "", None, None)


def test_what_is_no_object_is_no_answer() -> None:
    with pytest.raises(RpcError):
        Reading().read(b"[]")
