from __future__ import annotations

import asyncio
import json
import weakref
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from batch_providers import Dialect
from batch_wires import BASES, KEYS, VENDORS, Wire, provider_of
from msgspec.structs import replace
from queued import CHAT, MESSAGES, Queue

from pointsman.access.budgets import Budget
from pointsman.access.caller import MASTER, Caller, Limits
from pointsman.access.keys import Key, ModelSet
from pointsman.access.limits import Limit
from pointsman.batches.callers import Callers
from pointsman.batches.executors import BEGIN_SECONDS, GRACE_SECONDS, ProviderExecutor
from pointsman.batches.protocol.objects import BatchDoc, doc_of, plain
from pointsman.batches.remotes.anthropic import ASK_SECONDS, SETTLED_SECONDS
from pointsman.batches.remotes.base import FAILED_SECONDS, POLL_SECONDS
from pointsman.batches.remotes.openai import PENDING_SECONDS, OpenAiRemote
from pointsman.errors import Forbidden, UpstreamBroken, UpstreamUnreachable
from pointsman.pipeline.batch_targets import BatchTargets
from pointsman.pipeline.serve import Pipeline
from pointsman.pipeline.targets import Target
from pointsman.pipeline.till import Till
from pointsman.providers.base import Deployment, Price
from pointsman.store.base import SpendEvent
from pointsman.store.work import BatchRow, LineRow
from pointsman.telemetry.metrics import Metrics
from pointsman.upstream.settings import Timeouts
from pointsman.wire.operations import Operation
from pointsman.wire.secret import Secret

ADDRESSES: dict[Dialect, str] = {**BASES, "azure": "https://ours.openai.azure.com"}
PRICE = Price(input_usd_per_token=Decimal("0.002"), output_usd_per_token=Decimal("0.004"))
LIMITS = Limits(requests=(Limit(key="rpm:key:k", kind="rate", ceiling=1, window=60.0),))
NANOS_PER_LINE = 3_000_000
"""One token each, at half the price."""
MINE = Key(account="k", user_id="u")


class Known(Callers):
    """One caller."""

    def __init__(self) -> None:
        self.caller: Callable[[], Caller] = lambda: Caller(name="key:k", role="key", key=MINE)

    async def find(self, key_id: str, account: str, owner: str) -> Caller:
        return self.caller()


class Ledger:
    """Events by id, as the database has them."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, float], SpendEvent] = {}

    def put(self, event: SpendEvent) -> None:
        self.events[event.id, event.at] = event

    def note(self) -> None: ...


class World(Queue):
    """A batch whose lines a provider runs."""

    def __init__(self, directory: Path, dialect: Dialect = "openai") -> None:
        super().__init__(directory, MESSAGES if dialect == "anthropic" else CHAT)
        self.dialect = dialect
        self.provider = provider_of(dialect, lambda: self.now)
        self.wire, self.callers, self.ledger = Wire(self.provider.answer), Known(), Ledger()
        self.targets: dict[str, Target] = {}
        """By id."""
        self.lead("d1")
        till = Till(now=lambda: self.now)
        till.spending = cast("Any", self.ledger)
        self.executor = ProviderExecutor(self.work, self.files, self.callers, lambda: cast("Pipeline", self), till)

    def text(self, custom_id: str) -> bytes:
        """Gemini takes no conversation without a turn."""
        line = json.loads(super().text(custom_id))
        if self.dialect == "gemini":
            line["body"]["messages"] = [{"role": "user", "content": "Hello"}]
        return json.dumps(line).encode()

    def lead(self, name: str, **changes: Any) -> None:
        """This is the only deployment now."""
        deployment = Deployment(
            id=name,
            model_name="house",
            vendor=VENDORS[self.dialect],
            upstream_model="gpt5_series/up-1" if self.dialect == "azure" else "up-1",
            base_url=ADDRESSES[self.dialect],
            credential=Secret(KEYS[self.dialect]),
            price=PRICE,
            runs_batches=True,
        )
        made = replace(deployment, **changes)
        self.targets = {name: Target(made, self.wire, Timeouts(), Metrics("0"), {})}

    @property
    def batch_targets(self) -> Any:
        """As the pipeline has them."""
        found = BatchTargets(cast("Any", None), self.targets, has_tag_filtering=False)
        return SimpleNamespace(choose=self._choose, find=found.find)

    def _choose(self, model: str, operation: Operation) -> Target | None:
        return next((one for one in self.targets.values() if model == "house" and one.runs_batches(operation)), None)

    def check_model(self, caller: Caller, _operation: Operation, model: str) -> None:
        """As the pipeline does it."""
        caller.check_model(caller.alias(model))

    async def begun(self, *custom_ids: str) -> None:
        """A batch whose lines are well."""
        await self.add(*custom_ids, batch_id="batch_1", is_validated=False)
        row = await self.work.take("me")
        assert row is not None
        await self.work.add_lines(row.lease, self.lines(custom_ids))
        doc = replace(doc_of(row), model="house", headers={})
        await self.work.validated(row.lease, plain(doc), self.executor.choose(doc))

    async def made(self, *custom_ids: str) -> None:
        """One that its provider has begun."""
        await self.begun(*custom_ids)
        await self.poll()
        self.provider.processed()
        await self.poll()
        self.provider.begin()

    async def poll(self, *, is_mine: bool = True) -> BatchRow:
        """One step, as soon as one is due."""
        for _ in range(200):
            row = await self.work.take("me")
            if row is not None:
                break
            self.now += 1.0
        else:
            raise AssertionError("there is nothing to do")
        if row.ending:
            return row
        await self.executor.poll(row, lambda: is_mine)
        return await self.row()

    def asked(self, what: str) -> int:
        """How often the provider was asked for that."""
        return sum(what in one for one in self.provider.asked)

    async def done(self) -> list[LineRow]:
        """Lines that have a result."""
        return [line for line in await self.work.lines("batch_1") if line.state == "done"]


@pytest.fixture(params=["openai", "azure", "anthropic", "gemini"])
def world(tmp_path: Path, request: pytest.FixtureRequest) -> World:
    return World(tmp_path, request.param)


@pytest.fixture(params=["openai", "azure"])
def with_files(tmp_path: Path, request: pytest.FixtureRequest) -> World:
    """At a provider that takes input files."""
    return World(tmp_path, request.param)


@pytest.fixture
def with_messages(tmp_path: Path) -> World:
    """At one that takes all requests at once."""
    return World(tmp_path, "anthropic")


def spent(world: World) -> int:
    return sum(event.cost_nano_usd for event in world.ledger.events.values())


@pytest.mark.requirement("batches.provider")
async def test_a_provider_runs_a_batch_and_it_is_paid_for_once_at_half_the_price(with_files: World) -> None:
    world = with_files
    await world.begun("a", "b", "c")
    world.provider.refused = {"2"}
    row = await world.poll()
    assert (row.state, row.executor) == ("in_progress", "provider")
    world.provider.processed()
    await world.poll()
    [lines] = world.provider.inputs
    assert [line["custom_id"] for line in lines] == ["1", "2", "3"]
    assert lines[0]["body"] == {"model": "up-1", "messages": []}
    [batch] = world.provider.batches.values()
    assert (batch["endpoint"], batch["metadata"]) == (CHAT, {"pointsman_batch": "batch_1"})
    assert (await world.poll()).executor == "provider"
    world.provider.end()
    row = await world.poll()
    assert (row.ending, row.completed, row.failed) == ("completed", 2, 1)
    assert (row.input_tokens, row.output_tokens, row.cost_nano_usd) == (2, 2, 2 * NANOS_PER_LINE)
    assert spent(world) == 2 * NANOS_PER_LINE
    event = world.ledger.events["batch_1-1", row.created_at]
    assert (event.key_id, event.user_id, event.model, event.deployment) == ("k", "u", "house", "d1")
    answers = await world.done()
    assert json.loads(answers[0].body)["model"] == "house"
    assert [line.is_failed for line in answers] == [False, True, False]


async def test_a_file_that_a_provider_has_to_look_at_is_waited_for(tmp_path: Path) -> None:
    world = World(tmp_path, "azure")
    await world.begun("a")
    await world.poll()
    for state in ("pending", "Running"):
        world.provider.states["file-0"] = state
        row, before = await world.poll(), world.now
        assert (row.executor, world.asked("POST /openai/v1/batches")) == ("provider", 0)
        assert await world.work.take("me") is None
        world.now = before + PENDING_SECONDS
    world.provider.processed()
    await world.poll()
    assert len(world.provider.batches) == 1


async def test_the_lines_of_a_file_that_a_provider_finds_wrong_are_run_here(with_files: World) -> None:
    world = with_files
    await world.begun("a")
    await world.poll()
    world.provider.states["file-0"] = "error"
    assert (await world.poll()).executor == "lines"
    assert not world.provider.batches


async def test_whoever_comes_after_a_crash_makes_it_and_pays_for_it_no_second_time(with_files: World) -> None:
    world = with_files
    await world.begun("a", "b")
    await world.poll()
    world.provider.processed()
    assert await world.work.take("me") is not None
    # It is made, and its id is not written down.
    await OpenAiRemote(world.targets["d1"]).make("file-0", CHAT, "batch_1")
    world.now += 100.0
    await world.poll()
    assert len(world.provider.batches) == 1
    world.provider.end()
    await world.poll(is_mine=False)
    assert spent(world) == 2 * NANOS_PER_LINE
    world.now += 100.0
    row = await world.poll()
    assert row.completed == 2
    assert spent(world) == row.cost_nano_usd == 2 * NANOS_PER_LINE


async def test_a_batch_that_nobody_can_look_for_without_a_key_that_holds_is_run_nowhere_else(
    with_files: World,
) -> None:
    world = with_files
    await world.begun("a")
    await world.poll()
    world.provider.processed()
    await OpenAiRemote(world.targets["d1"]).make("file-0", CHAT, "batch_1")
    key, world.provider.key = world.provider.key, "sk-another"
    for _ in range(100):
        assert (await world.poll()).executor == "provider"
    world.provider.key = key
    await world.poll()
    world.provider.end()
    assert (await world.poll()).completed == 1
    assert (len(world.provider.batches), spent(world)) == (1, NANOS_PER_LINE)


@pytest.mark.parametrize("blocked", ["gone", "limited", "in the group", "poor", "alias", "forbidden", "elsewhere"])
async def test_lines_of_callers_who_are_counted_or_may_not_are_run_here(tmp_path: Path, blocked: str) -> None:
    def gone() -> Caller:
        raise Forbidden

    mine = Caller(name="key:k", role="key", key=MINE)
    budget = Budget(kind="key", id="k", hard=Decimal(1))
    callers: dict[str, Callable[[], Caller]] = {
        "gone": gone,
        "limited": lambda: replace(MASTER, model_limits={"house": LIMITS}),
        "in the group": lambda: replace(MASTER, model_limits={"hou*": LIMITS}),
        "poor": lambda: replace(MASTER, budgets=(budget,)),
        # What the lines call by that name is another model, with another price.
        "alias": lambda: replace(mine, key=replace(MINE, aliases={"house": "cheap"})),
        "forbidden": lambda: replace(mine, models=(ModelSet(frozenset({"cheap"})),)),
        "elsewhere": lambda: replace(mine, key=replace(MINE, allowed_routes=("/v1/embeddings",))),
    }
    world = World(tmp_path)
    world.lead("d1", model_name="hou*")
    world.callers.caller = callers[blocked]
    await world.begun("a")
    row = await world.poll()
    assert row.executor == "lines"
    assert not world.provider.asked


@pytest.mark.parametrize("member", ["fallbacks", "num_retries", "cache", "extra_body", "tags"])
async def test_lines_that_say_how_they_are_to_be_served_are_run_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: str
) -> None:
    def chat(custom_id: str) -> bytes:
        body = {"model": "house", "messages": [], **({member: []} if custom_id == "b" else {})}
        return json.dumps({"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body}).encode()

    monkeypatch.setattr("queued.chat", chat)
    world = World(tmp_path)
    await world.begun("a", "b")
    assert (await world.poll()).executor == "lines"
    assert not world.provider.files


async def test_a_provider_that_refuses_is_not_asked_again_and_one_that_is_away_is(with_files: World) -> None:
    world = with_files
    await world.begun("a")
    for failure in (UpstreamUnreachable(), 503, 429):
        world.wire.failure = failure
        before = world.now
        row = await world.poll()
        assert row.executor == "provider"
        assert world.now - before <= FAILED_SECONDS
    world.wire.failure = 400
    row = await world.poll()
    assert row.executor == "lines"
    assert len(await world.work.claim("me", 10)) == 1


async def test_lines_of_a_batch_that_a_provider_does_not_begin_are_run_here(world: World) -> None:
    await world.begun("a")
    since = world.now
    world.wire.failure = UpstreamUnreachable()
    while (row := await world.poll()).executor == "provider":
        assert world.now - since <= BEGIN_SECONDS
    assert world.now - since >= BEGIN_SECONDS
    assert row.state == "in_progress"


async def test_lines_of_a_file_that_a_provider_never_looks_at_are_run_here_and_one_that_may_be_made_is_not(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, "azure")
    await world.begun("a")
    await world.poll()
    world.now += BEGIN_SECONDS
    world.wire.failure = 503
    assert (await world.poll()).executor == "provider"
    world.wire.failure = None
    assert (await world.poll()).executor == "lines"


async def test_the_way_to_a_provider_stays_while_it_is_used(tmp_path: Path) -> None:
    class Pipelines:
        """A new one each time."""

        def __init__(self, world: World) -> None:
            self.batch_targets, self.check_model = world.batch_targets, world.check_model

    world = World(tmp_path)
    made: list[weakref.ref[Pipelines]] = []

    def reloaded() -> Pipeline:
        one = Pipelines(world)
        made.append(weakref.ref(one))
        return cast("Pipeline", one)

    till = Till(now=lambda: world.now)
    world.executor = ProviderExecutor(world.work, world.files, world.callers, reloaded, till)
    await world.begun("a")
    made.clear()
    world.wire.on_send = lambda: [one() is not None for one in made]
    await world.poll()
    assert world.wire.seen == [[True]]


@pytest.mark.requirement("batches.cancel")
async def test_a_batch_that_is_cancelled_is_cancelled_there_and_what_is_done_is_kept_and_paid_for(world: World) -> None:
    await world.made("a", "b", "c")
    await world.work.cancel("batch_1")
    await world.poll()
    # It takes its time.
    since = world.now
    while world.now - since < 1_700.0:
        assert not (await world.poll()).ending
    assert world.asked("cancel") == 1
    world.provider.end("cancelled", 1)
    row = await world.poll()
    assert (row.state, row.ending, row.completed, row.failed) == ("cancelling", "cancelled", 1, 0)
    assert [line.number for line in await world.done()] == [1]
    assert (spent(world), len(world.ledger.events)) == (NANOS_PER_LINE, 1)


async def test_one_that_is_cancelled_before_anything_was_begun_is_over_at_once(world: World) -> None:
    await world.begun("a")
    await world.work.cancel("batch_1")
    row = await world.poll()
    assert row.ending == "cancelled"
    assert not world.provider.asked


async def test_one_that_is_cancelled_after_a_crash_that_has_left_it_there_is_cancelled_there_too(
    with_files: World,
) -> None:
    world = with_files
    await world.begun("a")
    await world.poll()
    world.provider.processed()
    await OpenAiRemote(world.targets["d1"]).make("file-0", CHAT, "batch_1")
    world.provider.begin()
    await world.work.cancel("batch_1")
    row = await world.poll()
    [batch] = world.provider.batches.values()
    assert (row.ending, batch["status"]) == ("", "cancelling")
    world.provider.end("cancelled", 1)
    assert (await world.poll()).completed == 1


@pytest.mark.requirement("batches.expiry")
@pytest.mark.parametrize("is_there", [True, False])
async def test_a_provider_that_is_too_late_is_waited_for_no_longer(world: World, is_there: bool) -> None:
    await world.made("a")
    # Nobody was there when its day was over.
    world.now += 100_000.0
    if not is_there:
        world.targets = {}
    assert not (await world.poll()).ending
    assert world.asked("cancel") == is_there
    world.now += GRACE_SECONDS
    row = await world.poll()
    assert row.ending == "expired"


async def test_what_is_done_when_its_time_is_over_is_kept_although_its_provider_does_not_answer_at_first(
    world: World,
) -> None:
    await world.made("a", "b")
    world.now += 100_000.0
    world.wire.failure = 503
    assert not (await world.poll()).ending
    world.wire.failure = None
    world.provider.end("expired", 1)
    row = await world.poll()
    assert (row.ending, row.completed, row.failed, spent(world)) == ("expired", 1, 0, NANOS_PER_LINE)


@pytest.mark.parametrize(
    "changes",
    [
        {"rpm": 100},
        {"runs_batches": False},
        {"model_name": "mansion"},
        {"defaults": {"temperature": 0}},
        {"price": replace(PRICE, usd_per_image=Decimal(1))},
    ],
)
async def test_a_batch_goes_on_after_its_deployment_was_changed(world: World, changes: dict[str, Any]) -> None:
    await world.made("a")
    world.lead("d2", **changes)
    world.provider.end()
    row = await world.poll()
    assert (row.ending, row.completed, spent(world)) == ("completed", 1, NANOS_PER_LINE)
    assert json.loads((await world.done())[0].body)["model"] == "house"


@pytest.mark.parametrize("is_begun", [True, False])
async def test_a_batch_whose_deployment_was_changed_is_asked_for_with_the_key_that_it_was_begun_with(
    world: World, is_begun: bool
) -> None:
    await world.begun("a")
    await world.poll()
    world.provider.processed()
    if is_begun:
        await world.poll()
    world.lead("d2", rpm=100)
    right = world.targets
    world.lead("d0", credential=Secret("sk-of-another-project"))
    world.targets |= right
    await world.poll()
    assert len(world.provider.batches) == 1
    world.provider.end()
    row = await world.poll()
    assert (row.ending, row.completed, spent(world)) == ("completed", 1, NANOS_PER_LINE)


async def test_a_batch_is_paid_for_by_whom_its_provider_was_first_asked_for(world: World) -> None:
    await world.begun("a")
    await world.poll()
    world.provider.processed()
    other = replace(MINE, user_id="somebody")
    world.callers.caller = lambda: Caller(name="key:k", role="key", key=other)
    world.lead("d2", rpm=100)
    await world.poll()
    world.provider.end()
    await world.poll()
    [event] = world.ledger.events.values()
    assert (event.user_id, event.deployment) == ("u", "d1")


async def test_what_a_provider_has_begun_is_run_nowhere_else_although_nobody_names_it_any_more(world: World) -> None:
    await world.made("a")
    for other in ({"upstream_model": "up-2"}, {"base_url": "https://others.test/v1"}):
        world.lead("d1", **other)
        row = await world.poll()
        assert row.executor == "provider"
    world.lead("d3")
    world.provider.end()
    assert (await world.poll()).completed == 1


async def test_lines_of_a_batch_that_a_provider_finds_wrong_are_run_here_and_it_is_told_why(
    with_files: World, caplog: pytest.LogCaptureFixture
) -> None:
    await with_files.made("a")
    with_files.provider.end("failed")
    assert (await with_files.poll()).executor == "lines"
    assert "its provider says: failed: " in caplog.text
    assert "token_limit_exceeded" in caplog.text


@pytest.mark.parametrize("ending", ["cancelled", "expired"])
async def test_lines_that_a_provider_has_not_done_are_run_here(world: World, ending: str) -> None:
    await world.made("a", "b")
    world.provider.end(ending, 1)
    row = await world.poll()
    assert (row.executor, row.completed, row.failed, len(world.ledger.events)) == ("lines", 1, 0, 1)
    assert [line.custom_id for line in await world.work.claim("me", 10)] == ["b"]


async def test_a_batch_that_is_paused_is_not_begun(with_files: World) -> None:
    world = with_files
    await world.begun("a")
    await world.work.pause("batch_1", is_paused=True)
    await world.poll()
    assert not world.provider.asked
    await world.work.pause("batch_1", is_paused=False)
    before = world.now
    await world.poll()
    assert world.now - before <= POLL_SECONDS
    assert len(world.provider.asked) == 1


@pytest.mark.parametrize("is_paused", [True, False])
async def test_a_provider_has_an_hour_to_begin_from_when_it_could(tmp_path: Path, is_paused: bool) -> None:
    world = World(tmp_path, "azure")
    await world.begun("a")
    if is_paused:
        await world.work.pause("batch_1", is_paused=True)
    world.now += BEGIN_SECONDS
    if is_paused:
        await world.poll()
        await world.work.pause("batch_1", is_paused=False)
        world.wire.failure = UpstreamUnreachable()
        assert (await world.poll()).executor == "provider"
        world.wire.failure = None
    await world.poll()
    # It looks at each file before there can be a batch of it.
    row = await world.poll()
    assert (row.executor, world.asked("POST /openai/v1/batches")) == ("provider", 0)
    world.now += BEGIN_SECONDS
    assert (await world.poll()).executor == "lines"


async def test_lines_whose_file_is_gone_are_run_here_where_each_tells_so(world: World) -> None:
    await world.begun("a")
    world.rows.rows.clear()
    assert (await world.poll()).executor == "lines"


async def test_large_lines_are_read_and_sent_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def chat(custom_id: str) -> bytes:
        body = {"model": "house", "messages": [{"role": "user", "content": "x" * 200_000}]}
        return json.dumps({"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body}).encode()

    monkeypatch.setattr("queued.chat", chat)
    world = World(tmp_path)
    await world.begun(*"abcdef")
    await world.poll()
    assert 200_000 < world.wire.longest < 300_000
    assert world.provider.files["file-0"].count(b"\n") == 6


def test_only_batches_of_one_model_whose_provider_is_to_run_them_are_given_to_it(with_files: World) -> None:
    world = with_files

    def doc(model: str | None, endpoint: str = CHAT, headers: dict[str, str] | None = None) -> BatchDoc:
        return BatchDoc(endpoint=endpoint, input_file_id="f", model=model, headers=headers or {})

    choose = world.executor.choose
    assert choose(doc("house")) == "provider"
    for other in (
        doc(None),
        doc(""),
        doc("other"),
        doc("house", "/v1/rerank"),
        doc("house", headers={"x-pointsman-region": "eu"}),
    ):
        assert choose(other) == "lines"
    world.targets = {}
    assert choose(doc("house")) == "lines"


# Anthropic's batches, which hold their requests and no mark.


@pytest.mark.requirement("batches.provider")
async def test_message_batches_are_run_there_and_paid_for_once_at_half_the_price(with_messages: World) -> None:
    world = with_messages
    world.provider.refused, world.provider.failure = {"2"}, "overloaded_error"
    await world.made("a", "b", "c")
    [requests] = world.provider.inputs
    assert [one["custom_id"] for one in requests] == ["batch_1-1", "batch_1-2", "batch_1-3"]
    assert requests[0]["params"] == {"model": "up-1", "messages": [], "max_tokens": 8}
    world.provider.end()
    row = await world.poll()
    assert (row.ending, row.completed, row.failed, row.cost_nano_usd) == ("completed", 2, 1, 2 * NANOS_PER_LINE)
    assert spent(world) == 2 * NANOS_PER_LINE
    assert world.ledger.events["batch_1-1", row.created_at].request_id == "batch_1-1"
    answers = await world.done()
    assert [line.status for line in answers] == [200, 529, 200]
    assert json.loads(answers[0].body)["model"] == "house"


@pytest.mark.parametrize("lost", [asyncio.CancelledError(), UpstreamBroken()])
async def test_message_batches_whose_id_nobody_could_write_down_are_begun_and_paid_for_no_second_time(
    with_messages: World, lost: BaseException
) -> None:
    world = with_messages
    await world.begun("a", "b")
    await world.poll()
    world.wire.lost = lost
    with suppress(asyncio.CancelledError):
        await world.poll()
    world.wire.lost = None
    # While it is open it may be somebody else's, for ever so long.
    since = world.now
    while world.now - since < 2 * (ASK_SECONDS + SETTLED_SECONDS):
        assert (await world.poll()).executor == "provider"
    world.provider.end()
    await world.poll()
    row = await world.poll()
    assert (len(world.provider.batches), row.ending, row.completed) == (1, "completed", 2)
    assert spent(world) == row.cost_nano_usd == 2 * NANOS_PER_LINE


async def test_a_question_that_has_not_arrived_is_asked_again_when_that_is_sure(with_messages: World) -> None:
    world = with_messages
    await world.begun("a")
    await world.poll()
    world.wire.failure = UpstreamBroken()
    asked_at = world.now
    await world.poll()
    world.wire.failure = None
    while not world.provider.batches:
        assert (await world.poll()).executor == "provider"
    assert ASK_SECONDS + SETTLED_SECONDS <= world.now - asked_at <= ASK_SECONDS + SETTLED_SECONDS + 2 * FAILED_SECONDS
    world.provider.end()
    assert (await world.poll()).completed == 1


async def test_lines_of_a_question_that_never_arrives_are_run_here(with_messages: World) -> None:
    world = with_messages
    await world.begun("a")
    since = world.now
    answer = world.provider.answer
    # Every question is lost on the way, and nothing else is.
    world.wire.answer = lambda method, *rest: answer(method, *rest) if method == "GET" else (504, b"")
    while (row := await world.poll()).executor == "provider":
        assert world.now - since <= BEGIN_SECONDS + ASK_SECONDS + SETTLED_SECONDS
    assert (row.state, len(world.provider.batches)) == ("in_progress", 0)


async def test_who_says_not_now_is_asked_again_soon_and_who_says_no_is_not(with_messages: World) -> None:
    world = with_messages
    await world.begun("a")
    await world.poll()
    for failure in (UpstreamUnreachable(), 429):
        world.wire.failure = failure
        before = world.now
        assert (await world.poll()).executor == "provider"
        world.wire.failure = None
        assert (await world.poll()).executor == "provider"
        assert world.now - before <= FAILED_SECONDS
    assert not world.provider.batches
    world.wire.failure = 413
    assert (await world.poll()).executor == "lines"


async def in_doubt(world: World) -> None:
    """It is there, and nobody knows its id."""
    await world.begun("a", "b")
    await world.poll()
    world.wire.lost = UpstreamBroken()
    await world.poll()
    world.wire.lost = None


@pytest.mark.parametrize("how", ["cancel", "expiry"])
@pytest.mark.parametrize("is_done", [True, False])
async def test_what_is_in_doubt_when_it_is_over_is_waited_for_half_an_hour(
    with_messages: World, how: str, is_done: bool
) -> None:
    world = with_messages
    await in_doubt(world)
    if how == "cancel":
        await world.work.cancel("batch_1")
    else:
        world.now += 100_000.0
    assert not (await world.poll()).ending
    since = world.now
    while world.now - since < GRACE_SECONDS - FAILED_SECONDS:
        assert not (await world.poll()).ending
    if is_done:
        world.provider.end("cancelled", 1)
    while not (row := await world.poll()).ending:
        assert world.now - since <= GRACE_SECONDS + FAILED_SECONDS
    assert (row.completed, spent(world)) == (is_done, is_done * NANOS_PER_LINE)


@pytest.mark.parametrize("away", ["deployment", "key", "provider"])
async def test_what_is_in_doubt_is_run_nowhere_else_although_nobody_can_look_for_it(
    with_messages: World, away: str
) -> None:
    world = with_messages
    await in_doubt(world)
    leads = world.targets
    if away == "deployment":
        world.targets = {}
    else:
        world.wire.failure = {"key": 401, "provider": 503}[away]
    world.now += BEGIN_SECONDS
    assert (await world.poll()).executor == "provider"
    world.targets, world.wire.failure = leads, None
    world.provider.end()
    await world.poll()
    assert ((await world.poll()).completed, len(world.provider.batches)) == (2, 1)


async def test_a_pause_before_it_is_asked_leaves_no_doubt(with_messages: World) -> None:
    world = with_messages
    await world.begun("a")
    await world.poll()
    await world.work.pause("batch_1", is_paused=True)
    await world.poll()
    await world.work.pause("batch_1", is_paused=False)
    await world.poll()
    await world.poll()
    assert (len(world.provider.batches), world.asked("GET")) == (1, 0)


def test_headers_of_anthropics_go_with_a_message_batch_and_others_do_not(with_messages: World) -> None:
    def choose(**headers: str) -> str:
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        return with_messages.executor.choose(
            BatchDoc(endpoint=MESSAGES, input_file_id="f", model="house", headers=told)
        )

    assert choose(anthropic_version="2023-06-01", anthropic_beta="some-beta") == "provider"
    assert choose(anthropic_version="2026-10-21") == "provider"
    assert choose(anthropic_version="2023-01-01") == "lines"
    assert choose(x_pointsman_region="eu") == "lines"


@pytest.fixture
def with_gemini(tmp_path: Path) -> World:
    """At one that speaks another dialect than the lines."""
    return World(tmp_path, "gemini")


@pytest.mark.requirement("batches.provider")
async def test_chats_are_run_in_another_dialect_and_answered_in_their_own(with_gemini: World) -> None:
    world = with_gemini
    await world.begun("a", "b", "c")
    world.provider.refused = {"2"}
    await world.poll()
    world.provider.processed()
    await world.poll()
    [lines] = world.provider.inputs
    assert [line["key"] for line in lines] == ["1", "2", "3"]
    assert lines[0]["request"]["contents"] == [{"role": "user", "parts": [{"text": "Hello"}]}]
    [batch] = world.provider.batches.values()
    assert batch["about"] == {"displayName": "batch_1", "model": "models/up-1"}
    world.provider.end()
    row = await world.poll()
    assert (row.ending, row.completed, row.failed) == ("completed", 2, 1)
    assert (row.input_tokens, row.output_tokens, row.cost_nano_usd) == (2, 2, 2 * NANOS_PER_LINE)
    assert spent(world) == 2 * NANOS_PER_LINE
    answers = [json.loads(line.body or b"") for line in await world.done()]
    assert (answers[0]["object"], answers[0]["model"]) == ("chat.completion", "house")
    assert answers[0]["choices"][0]["message"]["content"] == "Hi"
    assert answers[1]["error"]["message"] == "no"
    assert [line.status for line in await world.done()] == [200, 400, 200]


async def test_a_batch_of_gemini_whose_name_nobody_could_write_down_is_not_made_a_second_time(
    with_gemini: World,
) -> None:
    world = with_gemini
    await world.begun("a")
    await world.poll()
    world.provider.processed()
    world.wire.lost = UpstreamBroken()
    await world.poll()
    world.wire.lost = None
    assert (len(world.provider.batches), world.asked(":batchGenerateContent")) == (1, 1)
    world.provider.end()
    await world.poll()
    assert (await world.poll()).completed == 1
    assert world.asked(":batchGenerateContent") == 1
    assert spent(world) == NANOS_PER_LINE


async def test_answers_to_lines_whose_file_was_deleted_meanwhile_are_told_and_paid_for_all_the_same(
    with_gemini: World,
) -> None:
    world = with_gemini
    await world.made("a", "b")
    world.provider.refused = {"2"}
    world.provider.end()
    world.rows.rows.clear()
    row = await world.poll()
    assert (row.completed, row.failed) == (1, 1)
    assert spent(world) == NANOS_PER_LINE
    answers = [json.loads(line.body or b"") for line in await world.done()]
    assert answers[0]["choices"][0]["message"]["content"] == "Hi"
    assert answers[1]["error"]["message"] == "no"


@pytest.mark.parametrize("body", [{"fallbacks": ["x"]}, {"logit_bias": {"1": 1}}, {"messages": [{"role": "user"}]}])
async def test_lines_that_cannot_be_put_into_the_providers_words_are_run_here(
    with_gemini: World, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any]
) -> None:
    world = with_gemini

    def text(custom_id: str) -> bytes:
        said = [{"role": "user", "content": "Hello"}]
        line = {"model": "house", "messages": said} | (body if custom_id == "b" else {})
        return json.dumps({"custom_id": custom_id, "method": "POST", "url": CHAT, "body": line}).encode()

    monkeypatch.setattr(world, "text", text)
    await world.begun("a", "b")
    assert (await world.poll()).executor == "lines"
    assert not world.provider.uploads
