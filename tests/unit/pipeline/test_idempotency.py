from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from pointsman.errors import (
    AnswerNotKept,
    GatewayError,
    IdempotencyKeyReused,
    InternalError,
    InvalidRequest,
    Overloaded,
    UpstreamTimeout,
)
from pointsman.pipeline.admission import Admission
from pointsman.pipeline.downstream import Downstream
from pointsman.pipeline.idempotency import IdempotencyLedger, LedgerLimits
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.replies import Flow

LINES = b"content-type: application/json\r\nx-request-id: 1\r\n"
KEY = b"order-17"


class Client:
    """Keeps the reply; does not read when told so."""

    def __init__(self, *, reads: bool = True) -> None:
        self.is_settled = False
        self.is_started = False
        self.is_finished = False
        self.is_cut = False
        self.lines = b""
        self.body = b""
        self._reads = reads

    def reply(self, status: int, headers: bytes, body: bytes) -> None:
        self.start(status, headers)
        self.write(body)
        self.finish()

    def start(self, status: int, headers: bytes, length: int | None = None) -> None:
        assert status == 200
        self.is_started = True
        self.lines = headers

    def write(self, piece: bytes) -> None:
        self.body += piece

    def finish(self) -> None:
        self.is_finished = True

    def cut(self) -> None:
        self.is_cut = True

    def flow_to(self, flow: Flow | None) -> None:
        if flow is not None and not self._reads:
            flow.pause()


class Loop:
    """Is never late."""

    lag = 0.0


class Load:
    """Counts the requests that are being served."""

    in_flight = 0


class Desk:
    """A ledger, and calls that the test carries out by hand."""

    def __init__(self, tasks: int = 100, **limits: Any) -> None:
        self.now = 1000.0
        self.tasks = Tasks(logging.getLogger("test.idempotency"), tasks)
        self.load = Load()
        self.ledger = IdempotencyLedger(
            self.tasks, Admission(Loop(), self.load), lambda: self.now, LedgerLimits(**limits)
        )
        self.calls: list[Downstream] = []
        self.outcomes: list[asyncio.Future[None]] = []
        self.requests = 0

    def ask(
        self, key: bytes = KEY, tenant: str = "a", fingerprint: str = "f", client: Client | None = None
    ) -> tuple[Client, asyncio.Task[None]]:
        """Begin a request."""
        self.requests += 1
        client = client or Client()
        identity = b"x-request-id: %d\r\n" % self.requests
        serving = self.ledger.serve(tenant, key, fingerprint, client, identity, self._run)
        return client, asyncio.create_task(serving)

    async def _run(self, downstream: Downstream) -> None:
        outcome = asyncio.get_running_loop().create_future()
        self.calls.append(downstream)
        self.outcomes.append(outcome)
        await outcome
        downstream.is_settled = True

    async def answer(self, body: bytes = b"{}") -> None:
        """Answer the latest call."""
        self.calls[-1].reply(200, LINES, body)
        await self.end()

    async def end(self, error: Exception | None = None) -> None:
        """End the latest call."""
        if error is None:
            self.outcomes[-1].set_result(None)
        else:
            self.outcomes[-1].set_exception(error)
        await settle()

    async def ask_and_answer(self, body: bytes = b"{}", **request: Any) -> Client:
        """A request that is a call of its own."""
        before = len(self.calls)
        client, task = self.ask(**request)
        await settle()
        assert len(self.calls) == before + 1
        await self.answer(body)
        await task
        return client

    async def repeat(self, **request: Any) -> Client:
        """A request that is answered without a call."""
        before = len(self.calls)
        client, task = self.ask(**request)
        await task
        assert len(self.calls) == before
        assert client.lines.endswith(b"idempotent-replayed: true\r\n")
        return client

    async def refuse(self, error: type[GatewayError], **request: Any) -> None:
        """A request that is refused without a call."""
        before = len(self.calls)
        client, task = self.ask(**request)
        with pytest.raises(error):
            await task
        assert len(self.calls) == before
        assert not client.is_started


async def settle() -> None:
    """Let everything happen that can."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_repeated_request_gets_the_answer_of_the_first(desk: Desk) -> None:
    first = await desk.ask_and_answer(b'{"id":"c1"}')
    assert (first.lines, first.body) == (LINES, b'{"id":"c1"}')
    again = await desk.repeat()
    assert again.lines == b"content-type: application/json\r\nx-request-id: 2\r\nidempotent-replayed: true\r\n"
    assert again.body == b'{"id":"c1"}'


async def test_a_request_that_is_repeated_while_the_call_runs_joins_it(desk: Desk) -> None:
    first, first_task = desk.ask()
    await settle()
    early, early_task = desk.ask()
    desk.calls[0].start(200, LINES)
    desk.calls[0].write(b"ab")
    late, late_task = desk.ask()
    await settle()
    assert (first.body, early.body, late.body) == (b"ab", b"ab", b"ab")
    desk.calls[0].write(b"c")
    desk.calls[0].finish()
    await desk.end()
    await asyncio.gather(first_task, early_task, late_task)
    assert (first.body, early.body, late.body) == (b"abc", b"abc", b"abc")
    assert len(desk.calls) == 1


async def test_two_requests_of_one_moment_are_one_call(desk: Desk) -> None:
    asked = [desk.ask() for _ in range(5)]
    await settle()
    await desk.answer(b"{}")
    await asyncio.gather(*(task for _, task in asked))
    assert (len(desk.calls), {client.body for client, _ in asked}) == (1, {b"{}"})


@pytest.mark.requirement("idempotency.attach")
async def test_the_call_goes_on_when_its_client_leaves_and_waits_for_its_return(desk: Desk) -> None:
    client, task = desk.ask()
    await settle()
    desk.calls[0].start(200, LINES)
    desk.calls[0].write(b"half")
    task.cancel()
    await asyncio.wait([task])
    desk.calls[0].write(b" and half")
    assert client.body == b"half"
    again, again_task = desk.ask()
    await settle()
    assert again.body == b"half and half"
    desk.calls[0].finish()
    await desk.end()
    await again_task
    assert again.is_finished


async def test_the_outcome_is_counted_with_the_first_request_only(desk: Desk) -> None:
    first, first_task = desk.ask()
    again, again_task = desk.ask()
    await settle()
    await desk.answer()
    await asyncio.gather(first_task, again_task)
    assert (first.is_settled, again.is_settled) == (True, False)


@pytest.mark.parametrize("other", [{"tenant": "b"}, {"key": b"order-18"}, {"tenant": "", "key": b"aorder-17"}])
async def test_another_tenant_or_key_is_another_call(desk: Desk, other: dict[str, Any]) -> None:
    await desk.ask_and_answer()
    await desk.ask_and_answer(**other)


@pytest.mark.requirement("idempotency.conflicts")
async def test_a_key_is_good_for_one_request(desk: Desk) -> None:
    _, task = desk.ask()
    await settle()
    await desk.refuse(IdempotencyKeyReused, fingerprint="another")
    await desk.answer()
    await task
    await desk.refuse(IdempotencyKeyReused, fingerprint="another")
    await desk.repeat()


@pytest.mark.parametrize("key", [b"", b"x" * 256, b"caf\xc3\xa9", b"a\tb", b"a\x00", b"\x7f"])
async def test_what_is_no_key_is_refused(desk: Desk, key: bytes) -> None:
    _, task = desk.ask(key)
    with pytest.raises(InvalidRequest, match="1 to 255 printable") as raised:
        await task
    assert raised.value.param == "Idempotency-Key"


@pytest.mark.parametrize("key", [b"x", b"x" * 255, b'"8e03978e-40d5-43dd-bc93-6894a57f9324"', b"two words"])
async def test_what_is_printable_is_a_key(desk: Desk, key: bytes) -> None:
    await desk.ask_and_answer(key=key)
    await desk.repeat(key=key)


# -- failures -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("idempotency.conflicts")
async def test_a_failure_is_everybodys_who_waits_and_the_next_request_tries_again(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    asked = [desk.ask() for _ in range(3)]
    await settle()
    await desk.end(UpstreamTimeout())
    for client, task in asked:
        with pytest.raises(UpstreamTimeout):
            await task
        assert not client.is_started
    assert caplog.records == []
    await desk.ask_and_answer()


async def test_an_unexpected_failure_is_logged_once_and_told_as_internal(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    asked = [desk.ask() for _ in range(2)]
    await settle()
    await desk.end(ValueError("broken"))
    for _, task in asked:
        with pytest.raises(InternalError):
            await task
    assert [record.getMessage() for record in caplog.records] == ["task a call with an Idempotency-Key failed"]
    await desk.ask_and_answer()


async def test_a_call_that_ends_without_an_answer_is_a_failure(desk: Desk) -> None:
    _, task = desk.ask()
    await settle()
    await desk.end()
    with pytest.raises(InternalError):
        await task
    await desk.ask_and_answer()


async def test_an_answer_that_is_cut_is_not_kept(desk: Desk) -> None:
    client, task = desk.ask()
    await settle()
    desk.calls[0].start(200, LINES)
    desk.calls[0].write(b"half")
    desk.calls[0].cut()
    await desk.end()
    await task
    assert client.is_cut
    assert desk.ledger.bytes == 0
    await desk.ask_and_answer()


async def test_an_answer_that_tells_of_a_failure_is_not_kept(desk: Desk) -> None:
    await desk.ask_and_answer(b'{"error":{"message":"no"}}')
    assert desk.ledger.bytes == 0
    await desk.ask_and_answer()


async def test_when_the_gateway_stops_those_who_wait_are_told_so(desk: Desk) -> None:
    asked = [desk.ask() for _ in range(2)]
    await settle()
    assert await desk.tasks.close(1.0) == []
    for _, task in asked:
        with pytest.raises(Overloaded):
            await task
    await desk.refuse(Overloaded)


async def test_a_call_that_is_stopped_before_its_first_step_leaves_nobody_waiting(desk: Desk) -> None:
    _, task = desk.ask()
    await asyncio.sleep(0)
    assert await desk.tasks.close(1.0) == []
    with pytest.raises(Overloaded):
        await task
    assert desk.calls == []


# -- bounds -------------------------------------------------------------------------------------------------------


async def test_an_answer_is_kept_for_an_hour(desk: Desk) -> None:
    await desk.ask_and_answer(b"{}")
    desk.now += 3599.0
    await desk.repeat()
    desk.now += 1.0
    await desk.ask_and_answer(b"[]")
    assert desk.ledger.bytes == 2


async def test_a_call_may_run_for_longer_than_answers_are_kept(desk: Desk) -> None:
    first, task = desk.ask()
    await settle()
    desk.now += 7200.0
    again, again_task = desk.ask()
    await settle()
    await desk.answer()
    await asyncio.gather(task, again_task)
    assert (first.body, again.body) == (b"{}", b"{}")


async def test_the_least_recently_used_answers_go_when_memory_is_short() -> None:
    desk = Desk(max_bytes=300, max_answer_bytes=150)
    for key in (b"a", b"b", b"c"):
        await desk.ask_and_answer(b"x" * 100, key=key)
    await desk.repeat(key=b"a")
    await desk.ask_and_answer(b"x" * 101, key=b"d")
    assert desk.ledger.bytes == 201
    await desk.repeat(key=b"a")
    await desk.repeat(key=b"d")
    for key in (b"b", b"c"):
        await desk.ask_and_answer(b"", key=key)


async def test_no_more_keys_are_kept_than_may_be() -> None:
    desk = Desk(max_keys=2)
    for key in (b"a", b"b", b"c"):
        await desk.ask_and_answer(key=key)
    await desk.repeat(key=b"b")
    await desk.repeat(key=b"c")
    assert desk.ledger.bytes == 4
    await desk.ask_and_answer(key=b"a")


async def test_an_answer_that_is_too_long_is_not_made_again() -> None:
    desk = Desk(max_answer_bytes=10)
    client, task = desk.ask()
    await settle()
    desk.calls[0].start(200, LINES)
    desk.calls[0].write(b"x" * 11)
    await desk.refuse(AnswerNotKept)
    desk.calls[0].finish()
    await desk.end()
    await task
    assert (client.body, client.is_finished) == (b"x" * 11, True)
    await desk.refuse(AnswerNotKept)
    desk.now += 3600.0
    await desk.ask_and_answer()


async def test_what_running_calls_keep_is_bounded_too() -> None:
    desk = Desk(max_bytes=100)
    asked = [desk.ask(key) for key in (b"a", b"b")]
    await settle()
    for call in desk.calls:
        call.start(200, LINES)
        call.write(b"x" * 60)
    assert desk.ledger.bytes == 60
    await desk.refuse(AnswerNotKept, key=b"b")
    for call, outcome in zip(desk.calls, desk.outcomes, strict=True):
        call.finish()
        outcome.set_result(None)
    await asyncio.gather(*(task for _, task in asked))
    assert [client.body for client, _ in asked] == [b"x" * 60, b"x" * 60]
    await desk.repeat(key=b"a")


async def test_an_answer_that_goes_while_it_is_read_is_still_read_to_its_end() -> None:
    desk = Desk(max_bytes=100)
    await desk.ask_and_answer(b"x" * 80, key=b"a")
    slow, task = desk.ask(key=b"a", client=Client(reads=False))
    await settle()
    await desk.ask_and_answer(b"y" * 80, key=b"b")
    assert desk.ledger.bytes == 80
    await desk.refuse(AnswerNotKept, key=b"b")
    task.cancel()
    await asyncio.wait([task])
    assert (slow.body, desk.ledger.bytes) == (b"", 0)


async def test_as_many_calls_run_as_may_and_one_more_is_refused() -> None:
    desk = Desk(tasks=1)
    _, task = desk.ask(b"a")
    await settle()
    await desk.refuse(Overloaded, key=b"b")
    await desk.answer()
    await task
    await desk.ask_and_answer(key=b"b")
