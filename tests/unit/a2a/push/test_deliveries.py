from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping

import pytest

from pointsman.a2a.push import deliveries
from pointsman.a2a.push.deliveries import PAUSES, Deliveries, Delivery
from pointsman.errors import GatewayError, Overloaded, UpstreamUnreachable
from pointsman.telemetry.tasks import Tasks

Answer = int | GatewayError


class Hooks:
    """Webhooks that answer in turn, the last answer for ever."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.told: list[tuple[str, bytes]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        assert headers["content-type"] == "application/json"
        self.told.append((url, body))
        await self.may_answer.wait()
        answers = self.answers.get(url, [200])
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(found, GatewayError):
            raise found
        return found


class Rig:
    def __init__(self, tasks: Tasks) -> None:
        self.hooks = Hooks()
        self.slept: list[float] = []
        self.tasks = tasks
        self.made = Deliveries(lambda: self.hooks, tasks, now=lambda: 5.0, chance=lambda: 0.5, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    async def settle(self) -> None:
        while len(self.tasks):
            await asyncio.sleep(0)

    def put(self, body: bytes = b"x", url: str = "https://hook.example/secret", owner: str = "key:me") -> None:
        headers = {"content-type": "application/json"}
        self.made.put(Delivery(agent="a", task="t", webhook=url, owner=owner, url=url, body=body, headers=headers))


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    tasks = Tasks(logging.getLogger("test"), 10)
    yield Rig(tasks)
    await tasks.close(1.0)


async def test_a_webhook_is_told_in_order(rig: Rig) -> None:
    for body in (b"1", b"2", b"3"):
        rig.put(body)
    await rig.settle()
    assert [body for _, body in rig.hooks.told] == [b"1", b"2", b"3"]
    assert not rig.made.dead


@pytest.mark.requirement("a2a.push-retries")
@pytest.mark.parametrize("failure", [500, 503, 429, 408, UpstreamUnreachable()], ids=str)
async def test_what_can_be_delivered_later_is(rig: Rig, failure: Answer) -> None:
    rig.hooks.answers["https://hook.example/secret"] = [failure, failure, 204]
    rig.put(b"1")
    rig.put(b"2")
    await rig.settle()
    assert [body for _, body in rig.hooks.told] == [b"1", b"1", b"1", b"2"]
    assert rig.slept == [PAUSES[0], PAUSES[1]]
    assert not rig.made.dead


@pytest.mark.requirement("a2a.push-retries")
@pytest.mark.parametrize(("status", "reason"), [(404, "404"), (410, "410"), (302, "redirects are not followed")])
async def test_what_cannot_be_delivered_is_a_dead_letter_at_once(
    rig: Rig, status: int, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    rig.hooks.answers["https://hook.example/secret"] = [status]
    rig.put()
    await rig.settle()
    (dead,) = rig.made.dead
    assert (dead.at, dead.agent, dead.task, dead.host, dead.attempts) == (5.0, "a", "t", "hook.example", 1)
    assert reason in dead.reason
    assert "secret" not in caplog.text, "the path of a webhook may be one"


async def test_in_the_end_it_is_a_dead_letter(rig: Rig) -> None:
    rig.hooks.answers["https://hook.example/secret"] = [500]
    rig.put()
    await rig.settle()
    assert rig.slept == list(PAUSES)
    assert [one.attempts for one in rig.made.dead] == [len(PAUSES) + 1]


@pytest.mark.requirement("a2a.push-retries")
async def test_what_waits_behind_it_is_not_tried_any_more(rig: Rig) -> None:
    rig.hooks.answers["https://hook.example/secret"] = [500]
    for body in (b"1", b"2", b"3"):
        rig.put(body)
    await rig.settle()
    assert {body for _, body in rig.hooks.told} == {b"1"}
    assert [(one.attempts, one.reason) for one in rig.made.dead][1:] == [
        (0, "the notice before it could not be delivered")
    ] * 2
    rig.hooks.answers.clear()
    rig.put(b"4")
    await rig.settle()
    assert rig.hooks.told[-1][1] == b"4", "what comes later is tried"


async def test_what_a_webhook_refuses_does_not_end_what_waits_behind_it(rig: Rig) -> None:
    rig.hooks.answers["https://hook.example/secret"] = [400, 200]
    for body in (b"1", b"2"):
        rig.put(body)
    await rig.settle()
    assert [body for _, body in rig.hooks.told] == [b"1", b"2"]
    assert len(rig.made.dead) == 1


@pytest.mark.parametrize(("name", "most"), [("MAX_SHARE", 2), ("MAX_SHARE_BYTES", 2)])
async def test_nobody_can_take_all_the_room(rig: Rig, monkeypatch: pytest.MonkeyPatch, name: str, most: int) -> None:
    monkeypatch.setattr(deliveries, name, most)
    for number in range(3):
        rig.put(url=f"https://{number}.example/")
    assert [one.reason for one in rig.made.dead] == ["too many wait for this client"]
    rig.put(url="https://other.example/", owner="key:you")
    await rig.settle()
    assert len(rig.hooks.told) == 3
    for number in range(2):
        rig.put(url=f"https://{number}.example/")
    await rig.settle()
    assert (len(rig.hooks.told), len(rig.made.dead)) == (5, 1), "room is given back"


async def test_one_webhook_does_not_hold_up_another(rig: Rig) -> None:
    rig.hooks.answers["https://slow.example/"] = [500]
    rig.put(url="https://slow.example/")
    rig.put(b"y", url="https://fast.example/")
    await rig.settle()
    assert ("https://fast.example/", b"y") in rig.hooks.told[:2]


async def test_too_many_for_one_webhook_are_dead_letters(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "MAX_WAITING", 2)
    for _ in range(3):
        rig.put()
    assert [one.reason for one in rig.made.dead] == ["too many wait for this webhook"]
    await rig.settle()
    assert len(rig.hooks.told) == 2


@pytest.mark.parametrize(("name", "most"), [("MAX_ALL", 2), ("MAX_BYTES", 2)])
async def test_so_many_that_nothing_more_can_be_taken_are_refused(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    monkeypatch.setattr(deliveries, name, most)
    for number in range(2):
        rig.put(url=f"https://{number}.example/")
    with pytest.raises(Overloaded):
        rig.put(url="https://3.example/")
    await rig.settle()
    rig.put(url="https://3.example/")
    await rig.settle()
    assert len(rig.hooks.told) == 3, "room is given back"


async def test_where_no_task_can_begin_nothing_waits(rig: Rig) -> None:
    await rig.tasks.close(1.0)
    for _ in range(2):
        with pytest.raises(Overloaded):
            rig.put()


async def test_what_waits_when_the_gateway_ends_is_told_to_be_lost(rig: Rig) -> None:
    rig.hooks.may_answer.clear()
    rig.put()
    rig.put()
    await asyncio.sleep(0)
    await rig.tasks.close(1.0)
    assert [one.reason for one in rig.made.dead] == ["the gateway has ended"] * 2


def test_dead_letters_are_bounded(rig: Rig) -> None:
    assert rig.made.dead.maxlen == deliveries.MAX_DEAD
