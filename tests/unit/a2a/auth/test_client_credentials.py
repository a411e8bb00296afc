from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from unit.mcp.auth.authorities import AWAY, NOW, TOKEN, Net

from pointsman.a2a.auth.client_credentials import PAUSE, ClientCredentials
from pointsman.a2a.settings import AuthSettings
from pointsman.errors import UpstreamRejected, UpstreamUnreachable
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.secret import Secret


class Clock:
    time = NOW

    def __call__(self) -> float:
        return self.time


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    made = Tasks(logging.getLogger("tests"), 10)
    yield made
    await made.close(1.0)


def auth(**members: Any) -> AuthSettings:
    fields: dict[str, Any] = {"client_id": "me", "client_secret": Secret("canary"), "token_url": TOKEN} | members
    return AuthSettings(kind="oauth2", **fields)


async def test_one_token_is_got_for_all_and_renewed_before_it_ends(tasks: Tasks) -> None:
    net, clock = Net(), Clock()
    net.tokens = [{"access_token": "1", "expires_in": 3600}, {"access_token": "2"}]
    mine = ClientCredentials(auth(scopes=("a", "b")), net, tasks, clock)
    assert await mine.lines(None) == await mine.lines(None) == {"authorization": "Bearer 1"}
    assert net.forms == [{"grant_type": "client_credentials", "scope": "a b"}]
    assert net.headers[0]["authorization"].startswith("Basic ")
    clock.time += 3590
    assert await mine.lines(None) == {"authorization": "Bearer 2"}


async def test_a_client_without_a_secret_only_names_itself(tasks: Tasks) -> None:
    net = Net()
    net.tokens = [{"access_token": "1"}]
    await ClientCredentials(auth(client_secret=None), net, tasks, Clock()).lines(None)
    assert net.forms == [{"grant_type": "client_credentials", "client_id": "me"}]


async def test_a_token_that_is_refused_is_renewed_now_and_then_and_not_for_a_missing_scope(tasks: Tasks) -> None:
    net, clock = Net(), Clock()
    net.tokens = [{"access_token": "1"}]
    mine = ClientCredentials(auth(), net, tasks, clock)
    await mine.lines(None)
    for _ in range(3):
        assert await mine.renew(None, 401, "")
        await mine.lines(None)
    assert len(net.forms) == 2
    assert not await mine.renew(None, 403, 'Bearer error="insufficient_scope"')
    clock.time += PAUSE
    assert await mine.renew(None, 401, "")
    await mine.lines(None)
    assert len(net.forms) == 3


@pytest.mark.parametrize(
    ("members", "answer", "kind"),
    [
        ({"token_url": None}, {"access_token": "1"}, UpstreamRejected),
        ({"client_id": None}, {"access_token": "1"}, UpstreamRejected),
        ({}, {"access_token": "1", "token_type": "mac"}, UpstreamRejected),
        ({}, (401, {"error": "invalid_client"}), UpstreamRejected),
        ({}, AWAY, UpstreamUnreachable),
    ],
)
async def test_without_a_token_there_is_a_failure_that_tells_no_secret(
    tasks: Tasks, members: Any, answer: Any, kind: type[Exception]
) -> None:
    net = Net()
    net.tokens = [answer]
    with pytest.raises(kind) as caught:
        await ClientCredentials(auth(**members), net, tasks, Clock()).lines(None)
    assert "canary" not in f"{caught.value} {vars(caught.value)}"
