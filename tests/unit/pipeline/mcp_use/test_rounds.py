from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from unit.pipeline.conftest import Downstream
from unit.pipeline.mcp_use.making import entries, events, offered, offers, stream, tool

from pointsman.errors import GatewayError, RateLimited, UpstreamBroken, UpstreamTimeout
from pointsman.mcp.settings import UseLimits
from pointsman.pipeline.cache import Recorder
from pointsman.pipeline.call import Call
from pointsman.pipeline.mcp_use import rounds
from pointsman.pipeline.mcp_use.chat import ChatForm
from pointsman.pipeline.mcp_use.limits import Allowance
from pointsman.pipeline.mcp_use.offers import Done, Wanted
from pointsman.pipeline.mcp_use.rounds import Relayed, Rounds, Tally
from pointsman.providers.dialects import openai
from pointsman.wire import operations as op

LINES = b"content-type: application/json\r\nx-litellm-overhead-duration-ms: 9.000\r\nx-model: a\r\n"
EVENT_LINES = b"content-type: text/event-stream\r\n"


def call_of(name: str, number: int) -> dict[str, Any]:
    return {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": "{}"}}


def answer(text: str, *calls: dict[str, Any]) -> bytes:
    message = {"role": "assistant", "content": text} | ({"tool_calls": list(calls)} if calls else {})
    return json.dumps({"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


CALLING = [chunk({"tool_calls": [{"index": 0, **call_of("depot__echo", 1)}]}), chunk({}, "tool_calls")]
SAYING = [chunk({"content": "It is A."}), chunk({}, "stop")]


class Meter:
    def __init__(self) -> None:
        self.observed: list[tuple[Any, ...]] = []

    def observe_request(self, *what: Any) -> None:
        self.observed.append(what)


class Setting:
    """One request before a model and tools that do as they are told."""

    def __init__(self, *rounds: Any, is_stream: bool = False, bill: Any = None, **limits: int) -> None:
        self.rounds = list(rounds)
        self.asked: list[dict[str, Any]] = []
        self.inner: list[Call] = []
        self.called: list[str] = []
        self.meter = Meter()
        self.downstream = Downstream()
        self.call = Call(op.CHAT, self.downstream, {}, b"x-request-id: 7\r\n", 0.0, is_master=False, tenant="t")
        self.call.is_stream, self.call.bill = is_stream, bill
        body = {"model": "m", "messages": [], "tools": [tool()], "stream": is_stream}
        self.form = ChatForm(body, offers())
        clock: Callable[[], float] = lambda: 5.0  # noqa: E731
        allowance = Allowance(UseLimits(**limits), 600.0, clock)
        self.task = Rounds(self.call, self.form, self.ask, self.call_tool, allowance, clock)

    async def ask(self, inner: Call, body: bytes) -> None:
        self.asked.append(json.loads(body))
        self.inner.append(inner)
        made = self.rounds.pop(0)
        error = made if isinstance(made, GatewayError) else None
        target = SimpleNamespace(meter=lambda *_: self.meter)
        assert inner.bill is not None
        inner.bill.add(SimpleNamespace(cost=Decimal("0.5"), error=error, target=target), 5.0)
        if error is not None:
            raise error
        if isinstance(made, Exception):
            raise made
        if isinstance(made, bytes):
            inner.downstream.reply(200, LINES, made)
            return
        inner.downstream.start(200, EVENT_LINES)
        for one in made:
            if isinstance(one, GatewayError):
                inner.note(one)
                inner.failure = type(one).__name__
                inner.bill.add(SimpleNamespace(cost=None, error=one, target=target), 5.0)
                inner.downstream.write(openai.error_event(one))
            else:
                inner.downstream.write(stream(one))
        inner.downstream.finish()

    async def call_tool(self, wanted: Wanted, seconds: float) -> Done:
        self.called.append(wanted.id)
        assert seconds == 120.0
        return Done(wanted=wanted, text="A")


async def test_the_model_is_asked_until_it_has_an_answer() -> None:
    one = Setting(answer("Hm.", call_of("depot__echo", 1), call_of("depot__clock", 2)), answer("It is A."))
    await one.task.run()
    assert one.called == ["call_1", "call_2"]
    assert [message["role"] for message in one.asked[1]["messages"]] == ["assistant", "tool", "tool"]
    assert json.loads(one.downstream.body)["choices"][0]["message"]["content"] == "Hm.\n\nIt is A."
    assert (one.call.status, one.call.downstream.is_settled) == (200, True)


async def test_the_head_of_the_reply_is_that_of_the_last_round_with_what_was_done() -> None:
    one = Setting(answer("", call_of("depot__echo", 1)), answer("It is A."))
    await one.task.run()
    assert one.downstream.lines == (
        b"content-type: application/json\r\nx-model: a\r\nx-pointsman-mcp: rounds=2 calls=1\r\n"
    )


async def test_rounds_are_asks_on_one_bill_and_the_request_is_counted_once() -> None:
    added: list[Any] = []
    bill = SimpleNamespace(add=lambda attempt, now: added.append((attempt, now)))
    one = Setting(answer("", call_of("depot__echo", 1)), answer("It is A."), bill=bill)
    await one.task.run()
    assert len(added) == 2
    assert all(inner.is_ask and inner.downstream.is_settled for inner in one.inner)
    assert [inner.asks_cost for inner in one.inner] == [None, Decimal("0.5")]
    assert one.meter.observed == [(200, 5.0, None)]


async def test_a_line_of_a_batch_gives_way_until_something_was_done_for_it() -> None:
    for priority, expected in ((100, [100, 99, 99]), (0, [0, 0, 0])):
        one = Setting(answer("", call_of("depot__echo", 1)), answer("", call_of("depot__echo", 2)), answer("A"))
        one.call.priority = priority
        await one.task.run()
        assert [inner.priority for inner in one.inner] == expected


async def test_a_line_of_a_batch_whose_tools_were_called_before_the_first_round_gives_way_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = Setting(answer("A"))
    one.call.priority = 100
    wanted = Wanted(id="call_0", offer=offered(entries(tool())[0]), arguments="{}")
    monkeypatch.setattr(one.form, "approved", lambda: [wanted])
    monkeypatch.setattr(one.form, "called", lambda _done: b"")
    monkeypatch.setattr(one.form, "calling", lambda _wanted: b"")
    await one.task.run()
    assert (one.called, [inner.priority for inner in one.inner]) == (["call_0"], [99])


async def test_in_the_last_round_the_model_may_call_nothing_and_if_it_does_it_is_not_heard() -> None:
    calling = answer("More!", call_of("depot__echo", 1))
    one = Setting(calling, calling, rounds=2)
    await one.task.run()
    assert one.asked[1]["tool_choice"] == "none"
    assert one.called == ["call_1"]
    choice = json.loads(one.downstream.body)["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("length", "More!\n\nMore!")


async def test_of_too_many_calls_some_are_answered_without_being_made() -> None:
    calls = [call_of("depot__echo", number) for number in range(3)]
    one = Setting(answer("", *calls), answer("Done."), calls=2)
    await one.task.run()
    assert one.called == ["call_0", "call_1"]
    assert one.asked[1]["messages"][-1]["content"].startswith("Error: not called")
    assert one.asked[1]["tool_choice"] == "none"


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_failure_before_anything_was_sent_is_a_reply_of_its_own(is_stream: bool) -> None:
    one = Setting(RateLimited(), is_stream=is_stream)
    with pytest.raises(RateLimited):
        await one.task.run()
    assert not one.downstream.is_started
    assert (one.call.status, one.meter.observed) == (429, [(429, 5.0, "RateLimited")])


async def test_a_stream_flows_from_the_first_text_on() -> None:
    one = Setting(CALLING, SAYING, is_stream=True)
    await one.task.run()
    got = events(one.downstream.body)
    assert one.downstream.lines == EVENT_LINES
    assert got[-1] == {}
    assert one.downstream.is_finished
    assert [e["choices"][0]["finish_reason"] for e in got[:-1] if e["choices"][0]["finish_reason"]] == ["stop"]


async def test_a_failure_in_a_later_round_of_a_stream_is_an_error_event() -> None:
    one = Setting(CALLING, UpstreamTimeout(), is_stream=True)
    await one.task.run()
    assert events(one.downstream.body)[-1]["error"]["code"] == "upstream_timeout"
    assert one.downstream.is_finished
    assert (one.call.status, one.call.failure) == (504, "UpstreamTimeout")


async def test_a_stream_that_breaks_after_text_ends_with_the_error_that_was_told() -> None:
    one = Setting([SAYING[0], UpstreamBroken()], is_stream=True)
    await one.task.run()
    got = events(one.downstream.body)
    assert [bool(event.get("error")) for event in got].count(True) == 1
    assert got[-1]["error"]["code"] == "upstream_broken"
    assert one.downstream.is_finished
    assert one.call.failure == "UpstreamBroken"


async def test_a_stream_that_breaks_before_anything_was_sent_is_a_reply_of_its_own() -> None:
    one = Setting([CALLING[0], UpstreamBroken()], is_stream=True)
    with pytest.raises(UpstreamBroken):
        await one.task.run()
    assert not one.downstream.is_started


async def test_a_client_that_leaves_ends_the_tools_that_go_on() -> None:
    one = Setting(answer("", call_of("depot__echo", 1), call_of("depot__clock", 2)))
    left: list[str] = []
    are_both = asyncio.Event()

    async def hang(wanted: Wanted, _: float) -> Done:
        one.called.append(wanted.id)
        if len(one.called) == 2:
            are_both.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.append(wanted.id)
        raise AssertionError

    one.task._call_tool = hang
    task = asyncio.create_task(one.task.run())
    await are_both.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(left) == ["call_1", "call_2"]
    assert one.meter.observed[0][0] == 499


async def test_a_stream_that_waits_for_a_tool_shows_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "QUIET_SECONDS", 0.0)
    one = Setting(CALLING, SAYING, is_stream=True)
    may_go = asyncio.Event()

    def write(piece: bytes) -> None:
        one.downstream.pieces.append(piece)
        if piece == rounds.ALIVE:
            may_go.set()

    async def wait(wanted: Wanted, _: float) -> Done:
        await may_go.wait()
        return Done(wanted=wanted, text="A")

    one.downstream.write = write  # type: ignore[method-assign]
    one.task._call_tool = wait
    await one.task.run()
    assert rounds.ALIVE in one.downstream.pieces
    assert events(one.downstream.body)[-1] == {}


async def test_when_one_tool_breaks_the_gateway_no_other_goes_on() -> None:
    one = Setting(answer("", call_of("depot__echo", 1), call_of("depot__clock", 2)))
    left: list[str] = []

    async def call(wanted: Wanted, _: float) -> Done:
        if wanted.id == "call_1":
            raise ZeroDivisionError
        try:
            await asyncio.Event().wait()
        finally:
            left.append(wanted.id)
        raise AssertionError

    one.task._call_tool = call
    with pytest.raises(ZeroDivisionError):
        await one.task.run()
    assert left == ["call_2"]


async def test_what_was_paid_on_the_way_to_a_model_is_added_to_the_requests() -> None:
    one = Setting(answer("A"))
    original = one.ask

    async def ask(inner: Call, body: bytes) -> None:
        inner.spend(Decimal("0.25"))
        await original(inner, body)

    one.task._ask = ask
    await one.task.run()
    assert one.call.asks_cost == Decimal("0.25")


def test_a_tally_without_a_bill_adds_up_all_the_same() -> None:
    tally = Tally(None)
    assert (tally.error, tally.cost) == (None, None)
    for cost in (Decimal(1), None, Decimal(2)):
        tally.add(SimpleNamespace(cost=cost, error=None), 0.0)
    assert tally.cost == Decimal(3)


async def test_a_bill_goes_along_with_a_call_that_goes_on_without_its_client() -> None:
    held: list[Any] = []
    task = asyncio.create_task(asyncio.sleep(0))
    Tally(SimpleNamespace(hold=held.append)).hold(task)
    Tally(None).hold(task)
    await task
    assert held == [task]


class Flow:
    def pause(self) -> None: ...
    def resume(self) -> None: ...


def test_a_provider_waits_for_a_slow_client_from_the_first_byte_on() -> None:
    outer, form = Downstream(), Setting().form
    form.request(is_last=False)
    flows: list[object] = []

    def write(out: bytes) -> None:
        if out and not outer.is_started:
            outer.start(200, b"")

    relayed, flow = Relayed(form, outer, lambda _: None, write), Flow()
    relayed.start(200, b"")
    relayed.flow_to(flow)
    flows.append(outer.flow)
    relayed.write(stream(SAYING[0]))
    flows.append(outer.flow)
    relayed.finish()
    flows.append(outer.flow)
    assert flows == [None, flow, None]


def test_a_stream_that_is_cut_is_cut_for_the_client() -> None:
    outer = Downstream()
    Relayed(Setting().form, outer, lambda _: None, lambda _: None).cut()
    assert outer.is_cut


def test_a_stream_that_was_kept_comes_at_once() -> None:
    outer, form, out, heads = Downstream(), Setting().form, list[bytes](), list[bytes]()
    form.request(is_last=False)
    Relayed(form, outer, heads.append, out.append).reply(200, EVENT_LINES, stream(*SAYING))
    assert heads == [EVENT_LINES]
    assert b"It is A." in out[0]


async def test_a_stream_in_which_the_gateway_fails_ends_with_an_error_event() -> None:
    one = Setting(CALLING, ZeroDivisionError(), is_stream=True)
    with pytest.raises(ZeroDivisionError):
        await one.task.run()
    assert events(one.downstream.body)[-1]["error"]["code"] == "internal_error"
    assert one.downstream.is_finished
    assert (one.call.status, one.call.failure) == (500, "InternalError")


async def test_a_round_may_be_listened_to_on_the_way() -> None:
    one = Setting(answer("", call_of("depot__echo", 1)), answer("It is A."))
    original = one.ask

    async def ask(inner: Call, body: bytes) -> None:
        inner.downstream = Recorder(inner.downstream)
        await original(inner, body)

    one.task._ask = ask
    await one.task.run()
    assert one.called == ["call_1"]
    assert json.loads(one.downstream.body)["choices"][0]["message"]["content"] == "It is A."
