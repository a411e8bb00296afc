from __future__ import annotations

from typing import Any

import pytest

from pointsman.a2a.push.hooks import MAX_TOKEN, Hook, named, read, seal, unseal
from pointsman.store.sealing import Sealer
from pointsman.wire.jsonrpc import RpcError
from pointsman.wire.secret import Secret

SEALER = Sealer(Secret("one"))
HOOK = Hook(agent="a", id="p", version="1.0", url="https://x", token="t", scheme="Bearer", credentials="canary")


def test_a_sealed_webhook_tells_nobody_anything() -> None:
    text = seal(HOOK, SEALER)
    assert "canary" not in text
    assert unseal(text, SEALER) == HOOK
    assert text.replace("-", "").replace("_", "").replace(".", "").replace("=", "").isalnum()


@pytest.mark.parametrize("text", ["", "x", "v1.", "v1.AAAA", "x" * (MAX_TOKEN + 1)])
def test_what_was_not_made_here_is_none(text: str) -> None:
    assert unseal(text, SEALER) is None
    assert unseal(seal(HOOK, Sealer(Secret("other"))), SEALER) is None
    assert unseal(SEALER.seal("{}", "a2a push"), SEALER) is None
    assert unseal(SEALER.seal("{}", "agents/a"), SEALER) is None


def test_a_configuration_is_read_and_told_again() -> None:
    config: dict[str, Any] = {
        "taskId": "k",
        "id": "p",
        "url": "https://x",
        "token": "t",
        "authentication": {"scheme": "Bearer", "credentials": "canary"},
    }
    found = read(config, agent="a", version="1.0", id="other")
    assert found == HOOK
    assert found.config("k") == config
    assert read({"url": "https://x"}, agent="a", version="0.3", id="own").config("k") == {
        "taskId": "k",
        "id": "own",
        "url": "https://x",
    }


@pytest.mark.parametrize(
    "config",
    [
        {"id": 5},
        {"id": "x" * 201},
        {"url": ["x"]},
        {"token": "a\nb"},
        {"token": "x" * 2_001},
        {"authentication": "Bearer"},
        {"authentication": {"credentials": "a\r\nb"}},
        {"authentication": {"scheme": 5}},
    ],
)
def test_what_cannot_be_used_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(RpcError, match="webhook"):
        read(config, agent="a", version="1.0", id="p")


@pytest.mark.parametrize(
    "name",
    ["pushNotificationConfig", "taskPushNotificationConfig", "push_notification_config", "PushNotificationConfig"],
)
def test_a_configuration_is_found_however_its_member_is_spelled(name: str) -> None:
    assert named({"a": 1, name: {}}) == name
    assert named({name: None}) is None
