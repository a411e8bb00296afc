from __future__ import annotations

from typing import Any

import pytest

from pointsman.a2a.protocol.push import (
    legacy_config,
    legacy_notice,
    legacy_task_config,
    modern_config,
    modern_notice,
    modern_task_config,
)

MODERN = {"taskId": "t", "id": "p", "url": "https://x", "token": "s", "authentication": {"scheme": "Bearer"}}
LEGACY = {
    "taskId": "t",
    "pushNotificationConfig": {
        "id": "p",
        "url": "https://x",
        "token": "s",
        "authentication": {"schemes": ["Bearer"]},
    },
}


def test_a_configuration_is_told_in_both() -> None:
    assert legacy_task_config(MODERN) == LEGACY
    assert modern_task_config(LEGACY) == MODERN
    assert legacy_task_config(MODERN | {"tenant": "x"}) == LEGACY


def test_1_0_has_the_first_of_the_schemes() -> None:
    found = modern_config({"url": "u", "authentication": {"schemes": ["Bearer", "Basic"], "credentials": "c"}})
    assert found == {"url": "u", "authentication": {"scheme": "Bearer", "credentials": "c"}}
    assert modern_config({"url": "u", "authentication": {"schemes": []}}) == {"url": "u", "authentication": {}}
    assert legacy_config({"authentication": {}}) == {"url": "", "authentication": {"schemes": []}}


STATUS = {"state": "TASK_STATE_COMPLETED"}


@pytest.mark.parametrize(
    ("notice", "told"),
    [
        (
            {"task": {"id": "t", "contextId": "c", "status": STATUS}},
            {"kind": "task", "id": "t", "contextId": "c", "status": {"state": "completed"}},
        ),
        (
            {"statusUpdate": {"taskId": "t", "contextId": "c", "status": STATUS}},
            {"kind": "task", "id": "t", "contextId": "c", "status": {"state": "completed"}},
        ),
        (
            {"artifactUpdate": {"taskId": "t", "contextId": "c", "artifact": {"artifactId": "a", "parts": []}}},
            {
                "kind": "task",
                "id": "t",
                "contextId": "c",
                "status": {"state": "working"},
                "artifacts": [{"artifactId": "a", "parts": []}],
            },
        ),
        (
            {"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": []}},
            {"kind": "message", "messageId": "m", "role": "agent", "parts": []},
        ),
    ],
)
def test_0_3_is_pushed_a_task(notice: dict[str, Any], told: dict[str, Any]) -> None:
    assert legacy_notice(notice) == told


def test_1_0_is_pushed_an_event() -> None:
    task = {"kind": "task", "id": "t", "contextId": "c", "status": {"state": "completed"}}
    assert modern_notice(task) == {"task": {"id": "t", "contextId": "c", "status": STATUS}}
