from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from unit.pipeline.conftest import Downstream
from unit.pipeline.routing import chat, routed_rig

from pointsman.errors import GatewayError, ResourceNotFound
from pointsman.ml.decisionlog import Entry, read
from pointsman.pipeline import noted as module
from pointsman.pipeline.call import Call
from pointsman.pipeline.decisions import MAX_AGE, SOON, Decisions, decisions_of
from pointsman.pipeline.errand import Ended
from pointsman.pipeline.explaining import info_of
from pointsman.pipeline.question import Question
from pointsman.pipeline.routed import GoOn, RoutedModel
from pointsman.routing.settings import LearningSettings
from pointsman.telemetry.tasks import Tasks
from pointsman.wire import operations as op
from pointsman.wire.usage import Usage

Make = Callable[..., Any]
TOOL_FAILED = [
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "is_error": True, "content": "no"}]},
]


class World:
    """A routed model whose decisions are noted; 'house' is its first choice."""

    def __init__(self, groups: Make, data: Path | None = None, **learning: Any) -> None:
        settings = LearningSettings(**{"is_online": True, "exploration_share": 0.0} | learning)
        self.rig = routed_rig(groups, learning=settings)
        self.now = 1_000.0
        self.decisions: Decisions = decisions_of({"auto": self.rig.routed}, {}, data, "w1", lambda: self.now)
        self.learning = self.rig.routed.learning
        self.data = data

    async def ask(
        self, request_id: str, body: bytes | None = None, tenant: str = "", operation: Any = op.CHAT, **headers: str
    ) -> None:
        names = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        identity = f"x-request-id: {request_id}\r\n".encode()
        call = Call(operation, Downstream(), names, identity, self.rig.clock.now, is_master=not tenant, tenant=tenant)
        await self.rig.pipeline.serve(call, body or chat(("user", request_id)))

    def rate(self, request_id: str, score: float, tenant: str = "", *, is_master: bool = False) -> bool:
        return self.decisions.feedback(request_id, score, None, tenant, is_master=is_master)

    @property
    def quality(self) -> list[float]:
        """What is expected now of the three, which was .9, .6 and .3 before anything was learnt."""
        chooser = self.rig.routed.kept.current
        features = chooser.learned.features(["x"])
        found: list[float] = self.learning.before(chooser, features, chooser.score(features)).quality[0].tolist()
        return found

    async def entries(self) -> list[Entry]:
        """What stands in the log."""
        await self.decisions.save()
        assert self.data is not None
        lines = [x for f in sorted((self.data / "decisions").iterdir()) for x in f.read_bytes().splitlines()]
        found, lost = read(lines)
        assert lost == 0
        return found

    def troubles(self) -> list[float]:
        """Answers of 'house' with trouble, and all that were judged."""
        online = self.learning.online(self.rig.routed.kept.current)
        found: list[float] = online.state().arrays["troubles"][0].tolist()
        return found


@pytest.fixture
def world(groups: Make, tmp_path: Path) -> World:
    return World(groups, tmp_path)


# -- ratings ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("routing.feedback.learnt")
async def test_bad_ratings_send_the_next_prompts_elsewhere(world: World) -> None:
    for i in range(100):
        before = world.rig.asked.get("house-id", 0)
        await world.ask(f"r{i}")
        world.rate(f"r{i}", 0.0 if world.rig.asked["house-id"] > before else 0.6)
    assert 1 <= world.rig.asked["house-id"] < 20


async def test_without_online_learning_ratings_are_logged_and_change_nothing(groups: Make, tmp_path: Path) -> None:
    world = World(groups, tmp_path, is_online=False)
    await world.ask("r1")
    world.rate("r1", 0.0)
    assert world.quality == pytest.approx([0.9, 0.6, 0.3])
    assert (await world.entries())[0].score == 0.0
    assert world.learning.ratings == 1


@pytest.mark.requirement("routing.procedures.noted")
async def test_what_a_procedure_answers_itself_is_logged_and_rated_and_teaches_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Asking:
        knobs: frozenset[str] = frozenset()

        def first(self, *_: object) -> list[dict[str, str]]:
            return []

        async def serve(self, question: Question, routed: RoutedModel, go_on: GoOn) -> None:
            chosen = await routed.look(question)
            usage = Usage(input_tokens=30, output_tokens=7, total_tokens=37)
            ended = Ended(
                served="third", status=200, usage=usage, cost_usd=0.5, seconds=2.0, error=None, problem="truncated"
            )
            routed.answered(chosen, ended, 0.0)

    taught: list[object] = []
    monkeypatch.setattr(world.learning, "trouble", lambda *told, **more: taught.append((told, more)))
    world.rig.routed.procedure = Asking()
    before = world.quality
    await world.ask("r1")
    await world.ask("r1")
    assert world.rate("r1", 0.0) is False
    assert world.rate("r1", 1.0) is True
    world.now += 2 * SOON
    await world.ask("r2")

    first, *_ = await world.entries()
    decided, settled = first.decided, first.settled
    assert (decided.candidates[decided.chosen], decided.reason, decided.propensity) == ("third", "auto", 1.0)
    assert settled is not None
    assert (settled.served, settled.status, settled.cost_usd, settled.seconds) == ("third", 200, 0.5, 2.0)
    assert (settled.prompt_tokens, settled.completion_tokens, settled.signals) == (30, 7, ["truncated"])
    assert first.score == 1.0
    assert world.learning.ratings == 1
    assert world.quality == before
    assert taught == []


@pytest.mark.requirement("routing.feedback.changed")
async def test_a_second_rating_takes_the_place_of_the_first(world: World) -> None:
    await world.ask("r1")
    assert world.rate("r1", 0.0) is False
    low = world.quality[0]
    assert world.rate("r1", 1.0) is True
    assert world.quality[0] > low
    assert ((await world.entries())[0].score, world.learning.ratings) == (1.0, 1)


@pytest.mark.requirement("routing.feedback.who")
async def test_only_whoever_asked_may_rate_and_the_master(world: World) -> None:
    await world.ask("r1", tenant="alice")
    with pytest.raises(ResourceNotFound, match="no decision"):
        world.rate("r1", 1.0, "bob")
    assert world.rate("r1", 1.0, "alice") is False
    assert world.rate("r1", 0.5, "root", is_master=True) is True


async def test_nobody_takes_the_name_of_anothers_request(world: World) -> None:
    await world.ask("r1", tenant="alice")
    world.rig.upstreams["house-id"].script(b"{}", status=500)
    await world.ask("r1", tenant="bob")
    (entry,) = await world.entries()
    assert (entry.served, entry.signals, world.troubles()) == ("house", [], [0.0, 0.0])
    with pytest.raises(ResourceNotFound):
        world.rate("r1", 0.0, "bob")
    assert world.rate("r1", 1.0, "alice") is False


@pytest.mark.requirement("routing.feedback.who")
async def test_what_is_not_known_cannot_be_rated(world: World) -> None:
    with pytest.raises(ResourceNotFound, match="not sent to a routed model"):
        world.rate("r1", 1.0, is_master=True)


async def test_the_rating_is_of_whoever_answered_in_the_end(world: World) -> None:
    world.rig.upstreams["house-id"].script(b"{}", status=500)
    await world.ask("r1")
    (entry,) = await world.entries()
    served = entry.served
    assert served != "house"
    before = world.quality
    world.rate("r1", 0.0)
    place = {"second": 1, "third": 2}[served]
    dropped = [old - new for old, new in zip(before, world.quality, strict=True)]
    assert max(dropped) == dropped[place]


# -- memory -----------------------------------------------------------------------------------------------------------


async def test_what_comes_of_a_request_is_not_taken_for_that_of_another_one_of_the_same_name(world: World) -> None:
    kept: list[Any] = []
    records, answered = world.rig.routed.records, world.rig.routed.records.settled
    records.settled = lambda *settled: kept.append(settled)
    await world.ask("r1")
    await world.ask("r1", chat(("user", "Another")))
    records.settled = answered
    first, second = kept
    first[2].cost = 5.0
    records.settled(*first)
    (entry,) = await world.entries()
    assert entry.settled is None
    records.settled(*second)
    (entry,) = await world.entries()
    assert entry.settled is not None
    assert entry.settled.cost_usd == 0.02


async def test_a_name_that_is_taken_again_is_as_new_as_that(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NOTED", 3)
    for name in ("r1", "r2", "r3", "r1", "r4"):
        await world.ask(name)
    assert world.rate("r1", 1.0) is False
    with pytest.raises(ResourceNotFound):
        world.rate("r2", 1.0)


async def test_an_answer_of_a_name_that_is_taken_again_has_a_minute_of_its_own(world: World) -> None:
    await world.ask("r1", chat(("user", "One")))
    world.now += SOON - 10
    await world.ask("r1", chat(("user", "Another")))
    world.now += 20
    await world.ask("r2", chat(("user", "Something else")))
    await world.ask("r3", chat(("user", "Another")))
    assert world.troubles() == [1.0, 1.0]


async def test_memory_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NOTED", 3)
    for i in range(5):
        await world.ask(f"r{i}")
    assert len(world.decisions) == 3
    with pytest.raises(ResourceNotFound):
        world.rate("r1", 1.0)
    assert world.rate("r4", 1.0) is False


async def test_a_decision_is_forgotten_after_a_day(world: World) -> None:
    await world.ask("r1")
    world.now += MAX_AGE + 1
    await world.ask("r2")
    assert len(world.decisions) == 1


# -- signs of trouble -------------------------------------------------------------------------------------------------


async def test_an_answer_without_trouble_counts_as_one_after_a_minute(world: World) -> None:
    await world.ask("r1")
    assert world.troubles() == [0.0, 0.0]
    world.now += SOON + 1
    await world.ask("r2")
    assert world.troubles() == [0.0, 1.0]


@pytest.mark.requirement("routing.feedback.signals")
@pytest.mark.parametrize(
    ("seconds", "tenant", "troubles"), [(5.0, "a", [1.0, 1.0]), (SOON + 1, "a", [0.0, 1.0]), (5.0, "b", [0.0, 0.0])]
)
async def test_the_same_prompt_again_soon_means_that_its_answer_was_not_liked(
    world: World, seconds: float, tenant: str, troubles: list[float]
) -> None:
    await world.ask("r1", chat(("user", "Same")), tenant="a")
    world.now += seconds
    await world.ask("r2", chat(("user", "Same")), tenant=tenant)
    assert world.troubles() == troubles


@pytest.mark.requirement("routing.feedback.signals")
@pytest.mark.parametrize(
    ("reason", "signals"), [("length", ["truncated"]), ("content_filter", ["refused"]), ("stop", [])]
)
async def test_an_answer_that_says_it_was_cut_off_or_refused_is_troublesome(
    world: World, reason: str, signals: list[str]
) -> None:
    answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": reason}]}
    world.rig.upstreams["house-id"].script(msgspec.json.encode(answer))
    await world.ask("r1")
    assert (await world.entries())[0].signals == signals
    assert world.troubles() == ([1.0, 1.0] if signals else [0.0, 0.0])


@pytest.mark.requirement("routing.feedback.signals")
async def test_a_tool_that_failed_counts_against_the_answer_that_called_it(world: World) -> None:
    body = {"model": "auto", "max_tokens": 5, "messages": TOOL_FAILED[:1]}
    await world.ask("r1", msgspec.json.encode(body), operation=op.MESSAGES, x_session_id="s")
    await world.ask(
        "r2", msgspec.json.encode(body | {"messages": TOOL_FAILED}), operation=op.MESSAGES, x_session_id="s"
    )
    assert [entry.signals for entry in await world.entries()] == [["tool_failed"], []]


@pytest.mark.requirement("routing.feedback.signals")
async def test_a_model_that_fails_over_has_trouble_and_the_other_answers(world: World) -> None:
    world.rig.upstreams["house-id"].script(b"{}", status=500)
    await world.ask("r1")
    assert world.troubles() == [1.0, 1.0]


async def test_a_callers_own_mistake_is_nobodys_trouble(world: World) -> None:
    for upstream in world.rig.upstreams.values():
        upstream.script(b'{"error":{"message":"no","type":"t","code":"c"}}', status=400)
    with pytest.raises(GatewayError):
        await world.ask("r1")
    (entry,) = await world.entries()
    assert (entry.signals, entry.settled and entry.settled.status) == ([], 400)
    assert world.troubles() == [0.0, 0.0]


# -- rewards ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("routing.online.promotion")
async def test_a_wish_of_a_request_does_not_change_what_its_answer_is_worth(world: World) -> None:
    rewards: list[float] = []
    world.learning.rate = lambda rating, _: rewards.append(world.learning.reward(rating.score, rating.cost_usd))
    price = world.rig.routed.price
    for i in range(20):
        await world.ask(f"r{i}", chat(("user", f"{i}"), model="auto:0" if i == 0 else "auto"))
        world.rate(f"r{i}", 1.0)
    entries = await world.entries()
    assert entries[0].decided.price > price > 0.0
    assert {entry.decided.usual_price for entry in entries} == {price}
    assert rewards == [1.0 - price * entry.settled.cost_usd for entry in entries if entry.settled]


# -- the log ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("routing.log.written")
async def test_the_log_holds_what_was_known_chosen_and_paid(world: World) -> None:
    await world.ask("r1")
    world.decisions.feedback("r1", 0.7, "nice", "", is_master=True)
    (entry,) = await world.entries()
    d = entry.decided
    assert (d.id, d.model, d.candidates, d.chosen, d.first) == ("r1", "auto", ["house", "second", "third"], 0, 0)
    assert (d.propensity, d.reason, d.version[:4]) == (1.0, "baseline", "0123")
    assert d.quality == pytest.approx([0.9, 0.6, 0.3])
    assert entry.settled is not None
    assert (entry.settled.status, entry.settled.served, entry.settled.cost_usd) == (200, "house", 0.02)
    assert entry.settled.prompt_tokens is not None
    assert entry.score == 0.7
    assert len(entry.features.surface[0]) == 16


@pytest.mark.requirement("routing.log.prompts")
@pytest.mark.parametrize("keeps", [False, True])
async def test_texts_are_logged_only_where_that_is_switched_on(groups: Make, tmp_path: Path, keeps: bool) -> None:
    world = World(groups, tmp_path, keeps_prompts=keeps)
    await world.ask("r1", chat(("user", "my secret plan")), tenant="alice")
    world.decisions.feedback("r1", 0.0, "also secret", "alice", is_master=False)
    (entry,) = await world.entries()
    assert entry.decided.prompt == ("my secret plan" if keeps else None)
    (file,) = (tmp_path / "decisions").iterdir()
    assert (b"secret" in file.read_bytes()) is keeps
    assert b"alice" not in file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0


def test_without_a_data_directory_or_a_wish_nothing_is_written(groups: Make, tmp_path: Path) -> None:
    async def use(world: World) -> None:
        await world.ask("r1")
        world.rate("r1", 1.0)
        await world.decisions.save()

    asyncio.run(use(World(groups)))
    asyncio.run(use(World(groups, tmp_path, has_log=False, is_online=False)))
    assert list(tmp_path.iterdir()) == []


# -- over restarts ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("routing.online.kept")
async def test_what_was_learnt_is_there_after_a_restart(groups: Make, tmp_path: Path) -> None:
    world = World(groups, tmp_path)
    for i in range(20):
        await world.ask(f"r{i}")
        world.rate(f"r{i}", 0.0)
    await world.decisions.save()
    assert World(groups, tmp_path).quality == pytest.approx(world.quality, abs=1e-6)


async def test_it_is_saved_now_and_then(world: World) -> None:
    class EnoughError(Exception):
        pass

    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise EnoughError

    await world.ask("r1")
    world.rate("r1", 0.0)
    with pytest.raises(EnoughError):
        await world.decisions.run(sleep)
    assert world.data is not None
    assert len(list((world.data / "learning").glob("*.online"))) == 1


async def test_a_disk_that_cannot_be_written_is_a_warning(
    groups: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    world = World(groups, tmp_path / "file")
    await world.ask("r1")
    world.rate("r1", 0.0)
    await world.decisions.save()
    assert "cannot be saved" in caplog.text
    assert world.decisions.dropped == 3


async def test_counts_and_status_tell_what_was_learnt(world: World) -> None:
    await world.ask("r1")
    world.rate("r1", 0.0)
    (counts,) = world.decisions.counts()
    assert (counts.requested_model, counts.ratings, counts.trial_share) == ("auto", 1, None)
    assert world.decisions.status("auto")["ratings"] == 1
    assert info_of(world.rig.routed, 0.0)["learning"]["outcomes"] == 1


# -- from one configuration to the next -------------------------------------------------------------------------------


@pytest.mark.requirement("config.swap.learning")
async def test_what_was_decided_before_can_be_rated_afterwards_and_teaches_whoever_decided(world: World) -> None:
    await world.ask("r1")
    again = decisions_of({"auto": world.rig.routed}, {}, world.data, "w2", lambda: world.now, world.decisions)
    assert again.learning["auto"] is world.learning
    assert again.log is world.decisions.log
    assert not again.feedback("r1", 1.0, None, "", is_master=True)
    assert world.learning.ratings == 1
    nobody = decisions_of({}, {}, world.data, "w3", lambda: world.now, again)
    assert nobody.feedback("r1", 0.5, None, "", is_master=True)


async def test_a_model_with_other_settings_learns_anew(world: World) -> None:
    model = world.rig.routed
    model.settings = msgspec.structs.replace(model.settings, learning=LearningSettings(is_online=False))
    again = decisions_of({"auto": model}, {}, world.data, "w2", lambda: world.now, world.decisions)
    assert again.learning["auto"] is not world.learning


async def test_one_log_is_written_by_one_task(world: World) -> None:
    tasks = Tasks(logging.getLogger("tests"), 10)
    first = world.decisions.start(tasks)
    again = decisions_of({"auto": world.rig.routed}, {}, world.data, "w2", lambda: world.now, world.decisions)
    second = again.start(tasks, world.decisions)
    assert len(tasks) == 3
    assert first is not second
    await tasks.close(1)
