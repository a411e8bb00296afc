from __future__ import annotations

from typing import Any

import pytest

from pointsman.a2a.protocol.messages import Malformed
from pointsman.a2a.protocol.tasks import (
    kind_of,
    legacy_status,
    legacy_task,
    legacy_told,
    modern_status,
    modern_task,
    modern_told,
    timestamp,
    wrapper_of,
)

TASK = {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}
LEGACY_TASK = {"kind": "task", "id": "t", "contextId": "c", "status": {"state": "working"}}


@pytest.mark.parametrize(
    ("told", "written"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05.123456789Z", "2026-01-02T03:04:05.123456789Z"),
        ("2026-01-02T03:04:05+00:00", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05.5+02:00", "2026-01-02T01:04:05.500000Z"),
        ("2026-01-02T03:04:05", "2026-01-02T03:04:05Z"),
        ("yesterday", None),
        ("0001-01-01T00:00:00+14:00", None),
        (1700000000, None),
    ],
)
def test_a_time_is_written_as_1_0_wants_it(told: object, written: str | None) -> None:
    assert timestamp(told) == written


def test_a_time_that_is_none_is_left_out_of_a_status() -> None:
    assert modern_status({"state": "working", "timestamp": "soon"}) == {"state": "TASK_STATE_WORKING"}


def test_a_status_without_a_state_is_unknown_in_0_3() -> None:
    assert legacy_status(None) == {"state": "unknown"}
    assert legacy_status({"state": "TASK_STATE_DREAMING"}) == {"state": "unknown"}


def test_a_task_is_told_in_both() -> None:
    assert legacy_task(TASK) == LEGACY_TASK
    assert modern_task(LEGACY_TASK) == TASK
    assert legacy_task({"id": "t"}) == {"kind": "task", "id": "t", "contextId": "", "status": {"state": "unknown"}}


@pytest.mark.parametrize(
    ("state", "is_final"),
    [
        ("SUBMITTED", False),
        ("WORKING", False),
        ("COMPLETED", True),
        ("FAILED", True),
        ("CANCELED", True),
        ("REJECTED", True),
        ("INPUT_REQUIRED", True),
        ("AUTH_REQUIRED", True),
    ],
)
def test_0_3_is_told_where_the_stream_ends(state: str, is_final: bool) -> None:
    event = {"statusUpdate": {"taskId": "t", "contextId": "c", "status": {"state": f"TASK_STATE_{state}"}}}
    assert legacy_told(event)["final"] is is_final
    assert modern_told(legacy_told(event)) == event


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"kind": "task"}, "task"),
        ({"id": "t", "status": {}}, "task"),
        ({"taskId": "t", "status": {}}, "status-update"),
        ({"taskId": "t", "artifact": {}}, "artifact-update"),
        ({"messageId": "m", "parts": []}, "message"),
        ({"kind": "new", "parts": []}, "message"),
    ],
)
def test_who_forgets_the_kind_is_understood(value: dict[str, Any], kind: str) -> None:
    assert kind_of(value) == kind


def test_what_is_nothing_of_all_that_is_malformed() -> None:
    for wrong in ({}, {"id": "t"}, {"kind": ["task"]}):
        with pytest.raises(Malformed):
            kind_of(wrong)
    for convert in (modern_told, legacy_told):
        with pytest.raises(Malformed):
            convert({})


@pytest.mark.requirement("a2a.lying-agents")
def test_an_agent_that_speaks_the_other_version_is_understood() -> None:
    assert legacy_told(LEGACY_TASK) == LEGACY_TASK
    assert modern_told({"task": TASK}) == {"task": TASK}


def test_a_result_of_1_0_is_known_by_its_member() -> None:
    assert wrapper_of({"task": {}}) == "task"
    assert wrapper_of({"artifactUpdate": {}}) == "artifactUpdate"
    assert wrapper_of(LEGACY_TASK) is None
    assert wrapper_of({"task": "t"}) is None
