from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pointsman.a2a.agents import telling as module
from pointsman.a2a.agents.telling import Telling
from pointsman.a2a.protocol.operations import Version

VERSIONS = pytest.mark.parametrize("version", ["1.0", "0.3"])
WORDS = {
    "working": "TASK_STATE_WORKING",
    "completed": "TASK_STATE_COMPLETED",
    "input-required": "TASK_STATE_INPUT_REQUIRED",
}


def status(version: Version, state: str, text: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"state": WORDS[state] if version == "1.0" else state, "timestamp": "2026-01-02T03:04:05Z"}
    return found | ({"message": {"messageId": text}} if text else {})


def wrapped(version: Version, kind: str, members: dict[str, Any]) -> bytes:
    if version == "1.0":
        return msgspec.json.encode({{"task": "task", "message": "message"}.get(kind, f"{kind}Update"): members})
    return msgspec.json.encode(
        {"kind": {"status": "status-update", "artifact": "artifact-update"}.get(kind, kind)} | members
    )


def task(version: Version, state: str = "working", *parts: str, text: str = "") -> bytes:
    artifacts = [{"artifactId": "a", "name": "A", "parts": [{"text": one} for one in parts]}] if parts else []
    ids = {"id": "t", "contextId": "c"}
    return wrapped(version, "task", ids | {"status": status(version, state, text), "artifacts": artifacts})


def update(version: Version, state: str, text: str = "", **more: Any) -> bytes:
    ids = {"taskId": "t", "contextId": "c"}
    return wrapped(version, "status", ids | {"status": status(version, state, text)} | more)


def artifact(version: Version, *parts: str, append: bool = False, id: str = "a") -> bytes:  # noqa: A002
    told = {"artifactId": id, "parts": [{"text": one} for one in parts]}
    return wrapped(version, "artifact", {"taskId": "t", "contextId": "c", "artifact": told, "append": append})


def told(version: Version, *events: bytes) -> Telling:
    """What is known after these, when the stream goes on."""
    found = Telling(version)
    for event in events:
        found.note(event)
    found.resume()
    return found


def read(events: list[bytes]) -> list[Any]:
    return [msgspec.json.decode(event) for event in events]


@VERSIONS
def test_what_is_told_is_known_by_its_task_and_state(version: Version) -> None:
    found = told(version, task(version), update(version, "input-required"))
    assert (found.task, found.context, found.state) == ("t", "c", "input-required")
    assert (found.may_end, found.has_ended) == (True, False)
    found = told(version, artifact(version, "x"))
    assert (found.task, found.state, found.may_end) == ("t", None, False)


@VERSIONS
def test_a_task_that_has_ended_or_a_message_is_the_end(version: Version) -> None:
    assert told(version, update(version, "completed")).has_ended
    assert told(version, wrapped(version, "message", {"messageId": "m", "parts": []})).has_ended
    assert told("0.3", update("0.3", "working", final=True)).has_ended


def test_what_the_agent_calls_final_may_not_be_the_end() -> None:
    found = Telling("0.3", outlasts_pauses=True)
    found.note(update("0.3", "input-required", final=True))
    assert (found.has_ended, found.may_end) == (False, False)
    found.note(update("0.3", "completed", final=True))
    assert found.has_ended


@VERSIONS
def test_of_a_task_as_it_is_the_difference_is_told(version: Version) -> None:
    found = told(version, task(version), artifact(version, "1"), artifact(version, "2", append=True))
    news = read(found.news(task(version, "completed", "1", "2", "3", "4")))
    ids = {"taskId": "t", "contextId": "c"}
    more = {"artifactId": "a", "name": "A", "parts": [{"text": "3"}, {"text": "4"}]}
    update = ids | {"artifact": more, "append": True, "lastChunk": True}
    ended = ids | {"status": status(version, "completed")}
    if version == "1.0":
        assert news == [{"artifactUpdate": update}, {"statusUpdate": ended}]
    else:
        assert news == [{"kind": "artifact-update"} | update, {"kind": "status-update"} | ended | {"final": True}]
    assert found.has_ended
    assert found.news(task(version, "completed", "1", "2", "3", "4")) == []


@VERSIONS
def test_an_artifact_that_was_not_told_or_is_another_one_now_is_told_as_a_whole(version: Version) -> None:
    for before in ((), (artifact(version, "1", "2"),), (artifact(version, "12", "4"),)):
        (news,) = read(told(version, task(version), *before).news(task(version, "working", "12", "3")))
        event = news.get("artifactUpdate", news)
        assert [one["text"] for one in event["artifact"]["parts"]] == ["12", "3"]
        assert not event["append"]


@VERSIONS
def test_a_task_that_is_told_as_it_was_before_is_no_news(version: Version) -> None:
    found = told(version, task(version), artifact(version, "1", "2"))
    assert found.news(task(version, "working", "1")) == []
    assert found.news(task(version, "working", "1", "2")) == []


@VERSIONS
def test_an_agent_that_keeps_each_part_twice_has_told_it_once(version: Version) -> None:
    def texts(news: list[bytes]) -> list[str]:
        return [part["text"] for one in read(news) for part in one.get("artifactUpdate", one)["artifact"]["parts"]]

    found = told(version, task(version), artifact(version, "1", "2", "3"))
    assert texts(found.news(task(version, "working", *"122334"))) == ["4"]
    assert texts(found.news(task(version, "working", *"12233445566"))) == ["5", "6"]
    assert found.news(task(version, "working", *"12233445566")) == []


@VERSIONS
def test_a_status_is_another_one_by_its_state_or_its_message(version: Version) -> None:
    found = told(version, update(version, "working", "one"))
    assert found.news(update(version, "working", "one")) == []
    assert len(found.news(update(version, "working", "two"))) == 1
    assert len(found.news(task(version, "working", text="three"))) == 1
    assert len(found.news(update(version, "completed"))) == 1


@VERSIONS
def test_what_comes_late_of_a_status_is_no_news(version: Version) -> None:
    found = told(version, update(version, "working", "one"))
    late = update(version, "input-required", "two").replace(b"2026", b"2025")
    assert found.news(late) == []
    assert len(found.news(late.replace(b"2025", b"2027"))) == 1
    found.note(update(version, "completed"))
    assert found.news(update(version, "working", "one").replace(b"2026", b"2028")) == []


def test_that_it_was_the_last_is_news_too() -> None:
    found = told("0.3", update("0.3", "input-required"))
    assert len(found.news(update("0.3", "input-required", final=True))) == 1


@VERSIONS
def test_an_artifact_that_is_told_again_is_no_news_but_a_piece_of_it_is(version: Version) -> None:
    found = told(version, task(version), artifact(version, "1"))
    assert found.news(artifact(version, "1")) == []
    assert found.news(artifact(version, "1", append=True)) == [artifact(version, "1", append=True)]
    assert found.news(artifact(version, "other")) == [artifact(version, "other")]


@VERSIONS
def test_an_agent_that_begins_anew_is_heard_from_where_it_was(version: Version) -> None:
    events = [task(version), artifact(version, "1"), artifact(version, "1", append=True)]
    found = told(version, *events)
    more = artifact(version, "1", append=True)
    assert [found.news(one) for one in (*events, more, more)] == [[], [], [], [more], [more]]


def texts(news: list[bytes]) -> list[str]:
    found = [event.get("artifactUpdate", event) for event in read(news)]
    return [part["text"] for event in found if "artifact" in event for part in event["artifact"]["parts"]]


@VERSIONS
def test_what_has_come_before_the_task_was_told_is_in_it_or_not(version: Version) -> None:
    def more(*parts: str) -> bytes:
        return artifact(version, *parts, append=True)

    begun = task(version), artifact(version, "1")
    whole = task(version, "working", "1", "2", "2", "3")
    assert texts(told(version, *begun).catch_up(whole, [more("2"), more("2", "3"), more("4")])) == ["2", "2", "3", "4"]
    assert texts(told(version, *begun).catch_up(task(version, "working", "1"), [more("1")])) == ["1"]
    assert texts(told(version, *begun).catch_up(whole, [more("2"), more("2"), more("2")])) == ["2", "2", "3", "2"]
    assert texts(told(version, *begun).catch_up(whole, [artifact(version, "1", "2")])) == ["2", "2", "3"]
    assert texts(told(version, *begun).catch_up(whole, [artifact(version, "5", id="b")])) == ["2", "2", "3", "5"]
    found = told(version, *begun).catch_up(whole, [update(version, "working"), update(version, "completed"), b"[]"])
    assert len(found) == 3


@VERSIONS
def test_a_task_of_very_many_parts_is_not_searched_for_each_event(
    version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PARTS", 2)
    more = artifact(version, "2", append=True)
    for parts, found in (("12", ["2"]), ("123", ["2", "3", "2"])):
        whole = task(version, "working", *parts)
        assert texts(told(version, task(version), artifact(version, "1")).catch_up(whole, [more])) == found


@VERSIONS
def test_how_much_is_remembered_has_a_bound(version: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_EVENTS", 1)
    monkeypatch.setattr(module, "MAX_ARTIFACTS", 1)
    monkeypatch.setattr(module, "MAX_PARTS", 2)
    found = told(version, task(version), artifact(version, "1"), artifact(version, "2", id="b"))
    assert found.news(task(version)) == []
    assert found.news(artifact(version, "1")) == []
    assert found.news(artifact(version, "2", id="b")) == [artifact(version, "2", id="b")]
    for text in "12345":
        found.note(artifact(version, text))
    assert found.news(artifact(version, "5")) == []
    for text in "12345":
        found.note(artifact(version, text, append=True))
    (news,) = read(found.news(task(version, "working", "1", "2")))
    assert not news.get("artifactUpdate", news)["append"]


@pytest.mark.parametrize("event", [b'{"somethingNew":{"taskId":"t"}}', b'{"kind":7}', b"[]", b"{"])
def test_what_is_not_known_is_passed_on(event: bytes) -> None:
    found = told("1.0", task("1.0"), event)
    assert found.task == "t"
    assert found.news(event) == [event]


@VERSIONS
def test_kinds_are_told_from_each_other(version: Version) -> None:
    found = Telling(version)
    assert found.is_task(task(version))
    assert found.is_task(b'{"id":"t","status":{"state":"TASK_STATE_WORKING"}}')
    assert not found.is_task(update(version, "working"))
