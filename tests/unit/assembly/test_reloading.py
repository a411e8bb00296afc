from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pointsman.assembly import canary
from pointsman.assembly.reloading import Control
from pointsman.config.outcomes import Refused
from pointsman.config.sources.base import SourceDown
from pointsman.edge.line import Peers
from pointsman.ml.checkpoint import BadCheckpoint

Entry = Callable[..., str]
MODELS = "model_list:\n"
CHECKED = "pointsman_settings: {canary_check: true}\n"


class FakeReloader:
    """Keeps who has asked, and answers when it may."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.done: list[str] = []
        self.may = asyncio.Event()
        self.may.set()

    async def reload(self, who: str, *, has_to_fetch: bool = False) -> dict[str, Any]:
        self.asked.append(f"{who} {has_to_fetch}")
        await self.may.wait()
        self.done.append(who)
        return {"status": "success"}

    async def rollback(self, who: str) -> dict[str, Any]:
        return {"back": who}

    async def answer(self, what: Any) -> dict[str, Any]:
        return {"did": what["do"]}

    def status(self) -> dict[str, Any]:
        return {"hash": "a"}

    async def watch(self) -> None:
        await asyncio.Event().wait()


class FakePart:
    """A routed model with a checkpoint that is as the test says."""

    def __init__(self, strategy: str, outcome: Exception | None = None, *, has_checkpoint: bool = True) -> None:
        self.model = SimpleNamespace(settings=SimpleNamespace(strategy=strategy))
        self.trial = None
        self.outcome = outcome
        self.fetched = 0
        self.fetching = self
        self.checkpoint = self if has_checkpoint else None

    async def fetch(self, patience: float = 0.0) -> bool:
        assert patience > 0, "somebody waits for it"
        self.fetched += 1
        return True

    async def reload(self) -> bool:
        if self.outcome is not None:
            raise self.outcome
        return True


class Controlled:
    """A control over an assembly that serves a first document."""

    def __init__(self, rig: Any, text: str) -> None:
        self.rig = rig
        self.reloader = FakeReloader()
        self.gateway = SimpleNamespace(reload=None, swap=rig.put.append)
        self.peers = Peers()
        self.control = Control(self.peers, rig.watchers)
        self.control.start(rig.begin(text), self.reloader, self.gateway)  # type: ignore[arg-type]

    def route(self, **parts: FakePart) -> Control:
        """Let these be the routed models."""
        current = SimpleNamespace(routed=SimpleNamespace(parts=parts))
        self.control._assembly = SimpleNamespace(current=current)  # type: ignore[assignment]
        return self.control


@pytest.fixture
async def made(rig: Any, entry: Entry) -> Controlled:
    return Controlled(rig, MODELS + entry("a"))


async def test_what_can_be_served_is_put_in_force(made: Controlled, entry: Entry) -> None:
    assert await made.control.put(made.rig.snapshot(MODELS + entry("b")), is_checked=False) == []
    assert [group.name for group in made.rig.assembly.current.groups] == ["b"]
    assert made.rig.put == [made.rig.assembly.current.serving]


@pytest.mark.requirement("config.reload.canary")
async def test_a_config_whose_new_deployments_all_fail_is_refused(made: Controlled, entry: Entry) -> None:
    before = made.rig.assembly.current
    with pytest.raises(Refused, match="canary check"):
        await made.control.put(made.rig.snapshot(MODELS + entry("a") + entry("down") + CHECKED), is_checked=False)
    assert made.rig.assembly.current is before
    some = MODELS + entry("a") + entry("down") + entry("fine", mock_response="Hi") + CHECKED
    (note,) = await made.control.put(made.rig.snapshot(some), is_checked=False)
    assert note.startswith("canary check: down")
    assert made.rig.assembly.current is not before


async def test_a_file_that_cannot_be_read_is_a_refusal(made: Controlled, entry: Entry) -> None:
    text = MODELS + entry("a", base="https://h/v1") + "litellm_settings: {ssl_verify: /nonexistent/ca.pem}\n"
    with pytest.raises(Refused):
        await made.control.put(made.rig.snapshot(text), is_checked=False)


@pytest.mark.requirement("config.reload.canary")
async def test_what_another_worker_serves_is_not_asked_again(made: Controlled, entry: Entry) -> None:
    text = MODELS + entry("a") + entry("down") + CHECKED
    assert await made.control.put(made.rig.snapshot(text), is_checked=True) == []
    assert {group.name for group in made.rig.assembly.current.groups} == {"a", "down"}


@pytest.mark.requirement("config.swap.series")
async def test_what_a_canary_check_has_refused_leaves_no_series_and_no_host(made: Controlled, entry: Entry) -> None:
    before = made.rig.assembly.current
    text = MODELS + entry("a") + entry("down", base="http://127.0.0.2:1/v1") + CHECKED
    with pytest.raises(Refused):
        await made.control.put(made.rig.snapshot(text), is_checked=False)
    made.rig.metrics.render()
    assert not [one for one in made.rig.metrics.deployment_meters() if one.requested_model == "down"]
    assert [host.name for host in before.reach._pool._hosts.values()] == ["127.0.0.1:1"]


async def test_a_change_that_is_given_up_during_its_check_leaves_nothing(
    made: Controlled, entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_asked = asyncio.Event()

    async def check(*_: object) -> Any:
        is_asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(canary, "check", check)
    before = made.rig.assembly.current
    text = MODELS + entry("a") + entry("b", base="http://127.0.0.2:1/v1") + CHECKED
    change = made.rig.tasks.start(made.control.put(made.rig.snapshot(text), is_checked=False), "change")
    await is_asked.wait()
    change.cancel()
    with pytest.raises(asyncio.CancelledError):
        await change
    assert made.rig.assembly.current is before
    assert [host.name for host in before.reach._pool._hosts.values()] == ["127.0.0.1:1"]


@pytest.mark.requirement("config.reload.whole")
@pytest.mark.parametrize("others", [1, 3])
async def test_a_change_goes_on_when_whoever_asked_for_it_has_left(made: Controlled, others: int) -> None:
    reloader = made.reloader
    reloader.may.clear()
    clients = [made.rig.tasks.start(made.control.reload(f"client {n}"), "a request") for n in range(others)]
    async with asyncio.timeout(5):
        while len(reloader.asked) < others:
            await asyncio.sleep(0)
        for client in clients:
            client.cancel()
            with pytest.raises(asyncio.CancelledError):
                await client
        reloader.may.set()
        while len(reloader.done) < others:
            await asyncio.sleep(0)
    assert reloader.done == [f"client {n}" for n in range(others)]


async def test_a_signal_begins_a_reload(made: Controlled) -> None:
    assert made.gateway.reload is not None
    made.gateway.reload("SIGHUP")
    async with asyncio.timeout(5):
        while not made.reloader.asked:
            await asyncio.sleep(0)
    assert made.reloader.asked == ["SIGHUP False"]


async def test_what_the_edge_asks_for_is_passed_on(made: Controlled) -> None:
    assert await made.control.reload("me", has_to_fetch=True) == {"status": "success"}
    assert await made.control.rollback("me") == {"back": "me"}
    assert made.control.status() == {"hash": "a"}
    assert await made.control._answer({"do": "reload"}) == {"did": "reload"}
    assert made.reloader.asked == ["me True"]


async def test_what_another_worker_tells_of_mcp_sessions_is_passed_on(made: Controlled) -> None:
    async def hear(told: Any) -> dict[str, Any]:
        return {"heard": told}

    what = {"do": "mcp", "told": {"event": {"session": "s"}}}
    assert await made.control._answer(what) == {}
    made.control.hear = hear
    assert await made.control._answer(what) == {"heard": {"event": {"session": "s"}}}
    assert made.reloader.asked == []


@pytest.mark.requirement("router.reload")
async def test_checkpoints_are_read_again_by_strategy_by_name_or_all(made: Controlled) -> None:
    knn, mf, cold = FakePart("knn"), FakePart("mf"), FakePart("auto", has_checkpoint=False)
    control = made.route(one=knn, two=mf, three=cold)
    success = {"status": "success", "errors": []}
    assert await control.reload_routers("me", None) == success | {"reloaded": ["llmrouter-knn", "llmrouter-mf"]}
    assert await control.reload_routers("me", "llmrouter-knn") == success | {"reloaded": ["llmrouter-knn"]}
    assert await control.reload_routers("me", "two") == success | {"reloaded": ["llmrouter-mf"]}
    assert await control.reload_routers("me", "auto") == success | {"reloaded": []}
    assert knn.fetched == 0
    await control.reload_routers("me", "knn", has_to_fetch=True)
    assert (knn.fetched, mf.fetched) == (1, 0)


@pytest.mark.requirement("router.reload")
async def test_a_reload_that_fails_for_some_is_partial(made: Controlled) -> None:
    broken = FakePart("mf", BadCheckpoint("it is empty", "train it"))
    control = made.route(one=FakePart("knn"), two=broken)
    told = await control.reload_routers("me", None)
    assert told["status"] == "partial"
    assert told["errors"] == ["two: it is empty (train it)"]
    assert (await control.reload_routers("me", "mf"))["status"] == "failed"
    down = made.route(one=FakePart("knn", SourceDown("no bucket")))
    assert (await down.reload_routers("me", None))["errors"] == ["one: no bucket"]


async def test_a_strategy_that_nobody_goes_by_is_an_error(made: Controlled) -> None:
    told = await made.control.reload_routers("me", "llmrouter-knn")
    assert (told["status"], told["reloaded"]) == ("failed", [])
    assert "llmrouter-knn" in told["errors"][0]
    assert await made.control.reload_routers("me", None) == {"status": "success", "reloaded": [], "errors": []}
    assert (await made.control._answer({"do": "router", "strategy": "mf"}))["status"] == "failed"
