from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from unit.pipeline.paying import ANSWER, CHAT, COST, EVENTS, NOW, WORD, World, key

from pointsman.access.budgets import nanos
from pointsman.access.caller import MASTER
from pointsman.access.keys import ModelBudget
from pointsman.errors import CONNECT_TIMEOUT, BudgetExceeded, UpstreamBroken, UpstreamRejected, UpstreamTimeout
from pointsman.pipeline.settings import CacheSettings, ServingSettings
from pointsman.pipeline.upload import Upload
from pointsman.pipeline.used import Used
from pointsman.providers.base import Price
from pointsman.routing.settings import Hedging, RoutingSettings
from pointsman.store.memory import MemoryCounters
from pointsman.wire import operations as op

FORM = b"multipart/form-data; boundary=b"


@pytest.fixture
def world(make_rig: Callable[..., Any], deployment: Callable[..., Any]) -> World:
    return World(make_rig, deployment())


@pytest.fixture
def pair(make_rig: Callable[..., Any], deployment: Callable[..., Any]) -> World:
    names = [deployment(id="a"), deployment("other", id="b")]
    return World(make_rig, *names, routing=RoutingSettings(num_retries=0, fallbacks={"house": ("other",)}))


@pytest.mark.requirement("limits.settled")
async def test_what_was_really_used_is_settled_and_written_into_the_ledger(world: World) -> None:
    caller = key(
        rpm_limit=10, tpm_limit=1000, max_parallel_requests=2, max_budget=Decimal(1), tags=("a",), user_id="u1"
    )
    reply = await world.ask(caller, CHAT | {"user": "end"})
    assert reply.status == 200
    assert [world.left(caller, kind) for kind in ("rpm", "tpm", "slots")] == [9, 985, 2]
    assert world.left(caller, "money") == nanos(1 - COST)
    (event,) = world.ledger.events
    assert event.cost_nano_usd == nanos(COST)
    assert (event.request_id, event.operation, event.model, event.provider) == ("r1", "chat", "house", "openai")
    assert (event.key_id, event.user_id, event.team_id, event.tags) == ("k1", "u1", "", ("a",))
    assert (event.deployment, event.upstream_model, event.end_user) == (world.rig.meter.model_id, "up-1", "end")
    assert (event.input_tokens, event.output_tokens, event.status, event.failures) == (10, 5, "success", 0)
    assert (event.at, event.ended_at, event.first_at) == (NOW, NOW, NOW)


async def test_whoever_makes_a_call_in_here_can_have_it_added_up_what_it_used(pair: World) -> None:
    pair.rig.upstreams["a"].script(b"{}", status=500)
    call = pair.rig.call(is_master=False)
    call.caller, call.used = key(max_budget=Decimal(1)), Used()
    await pair.rig.pipeline.serve(call, msgspec.json.encode(CHAT))
    pair.till.note_down()
    assert (call.used.input_tokens, call.used.output_tokens) == (10, 5)
    assert call.used.cost_nano_usd == pair.ledger.total == nanos(COST)


async def test_what_the_master_uses_is_added_up_too_where_nothing_is_written_down(world: World) -> None:
    world.till.spending = None
    call = world.rig.call()
    call.caller, call.used = MASTER, Used()
    await world.rig.pipeline.serve(call, msgspec.json.encode(CHAT))
    world.till.note_down()
    assert (call.used.input_tokens, call.used.output_tokens) == (10, 5)


@pytest.mark.requirement("limits.no-leaks")
async def test_a_client_that_leaves_takes_no_slot_with_it_and_pays_for_what_was_read(world: World) -> None:
    caller = key(max_parallel_requests=3, tpm_limit=100_000, max_budget=Decimal(1000))
    limit = caller.budgets[0].limit(NOW)
    assert limit is not None
    # Or else all of them would leave before the ledger has said what was spent.
    await world.till.counters.seed(limit.key, 0)
    world.rig.upstream.script(is_held=True)
    for _ in range(1000):
        task = asyncio.create_task(world.ask(caller))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    given = round(len(msgspec.json.encode(CHAT)) / 3.6)
    assert world.left(caller, "slots") == 3
    assert world.left(caller, "tpm") == 100_000 - 1000 * given
    assert world.left(caller, "money") == nanos(Decimal(1000)) - world.ledger.total
    assert {(event.status, event.input_tokens) for event in world.ledger.events} == {("cancelled", given)}


async def test_a_call_that_goes_on_without_its_client_is_settled_when_it_ends(make_rig: Any, deployment: Any) -> None:
    world = World(make_rig, deployment(drains_on_disconnect=True))
    caller = key(max_parallel_requests=1, max_budget=Decimal(1))
    world.rig.upstream.script(WORD, kind=EVENTS, is_whole=False)
    task = asyncio.create_task(world.ask(caller, CHAT | {"stream": True}))
    await world.rig.turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (world.left(caller, "slots"), world.ledger.events) == (0, [])
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5}}\n\ndata: [DONE]\n\n'
    world.rig.upstream.response.feed(usage)
    world.rig.upstream.response.finish()
    await world.rig.turns()
    assert (world.left(caller, "slots"), world.left(caller, "money")) == (1, nanos(1 - COST))
    assert world.ledger.total == nanos(COST)


async def test_a_fallback_pays_for_itself_and_what_has_failed_for_nothing(pair: World) -> None:
    pair.rig.upstreams["a"].script(b"{}", status=500)
    caller = key(rpm_limit=10, max_budget=Decimal(1))
    await pair.ask(caller)
    assert [(e.deployment, e.status, e.cost_nano_usd, e.attempt, e.model) for e in pair.ledger.events] == [
        ("a", "InternalServerError", 0, 1, "house"),
        ("b", "success", nanos(COST), 2, "other"),
    ]
    assert (pair.left(caller, "money"), pair.left(caller, "rpm")) == (nanos(1 - COST), 9)


@pytest.mark.parametrize(
    ("error", "is_paid"), [(UpstreamTimeout(), True), (UpstreamTimeout(code=CONNECT_TIMEOUT), False)]
)
async def test_what_was_asked_is_paid_for_although_the_time_was_over_before_the_answer(
    world: World, error: UpstreamTimeout, is_paid: bool
) -> None:
    caller = key(max_budget=Decimal(1))
    world.rig.upstream.script(error=error)
    with pytest.raises(UpstreamTimeout):
        await world.ask(caller, CHAT | {"timeout": 0.3})
    given = round(len(msgspec.json.encode(CHAT)) / 3.6) if is_paid else 0
    (event,) = world.ledger.events
    assert (event.status, event.failures, event.input_tokens) == ("TimeoutError", 1, given)
    assert event.cost_nano_usd == given * nanos(Decimal("0.001"))
    assert world.left(caller, "money") == nanos(Decimal(1)) - event.cost_nano_usd


async def test_pictures_are_paid_for_although_nobody_waits_for_them(make_rig: Any, deployment: Any) -> None:
    world = World(make_rig, deployment(price=Price(usd_per_image=Decimal("0.1"))))
    world.rig.upstream.script(error=UpstreamTimeout())
    caller = key(max_budget=Decimal(1))
    with pytest.raises(UpstreamTimeout):
        await world.ask(caller, {"model": "house", "prompt": "x", "n": "3"}, operation=op.IMAGE_GENERATION)
    assert world.ledger.total == nanos(Decimal("0.3"))


async def test_a_form_tells_how_many_pictures_it_asks_for(make_rig: Any, deployment: Any) -> None:
    world = World(make_rig, deployment(price=Price(usd_per_image=Decimal("0.1"))))
    field = '--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    form = "".join([field % ("model", "house"), field % ("prompt", "x"), field % ("n", "10"), "--b--\r\n"]).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(form), 50):
            yield form[at : at + 50]

    for length in (len(form), None):
        for dollars, is_served in (("0.95", False), ("1", True)):
            call = world.rig.call(op.IMAGE_EDIT, {b"content-type": FORM})
            call.caller = key(max_budget=Decimal(dollars))
            with Upload(FORM, pieces(), length) as upload:
                if is_served:
                    await world.rig.pipeline.serve_upload(call, upload)
                    assert b'name="n"\r\n\r\n10\r\n' in world.rig.upstream.sent.pop().body
                else:
                    with pytest.raises(BudgetExceeded, match="may cost 1"):
                        await world.rig.pipeline.serve_upload(call, upload)
        world.till.note_down()
        world.ledger.events.clear()
        world.till.counters = MemoryCounters(world.till.rebuild)


async def test_a_sound_of_unknown_length_is_measured_before_it_goes_on(make_rig: Any, deployment: Any) -> None:
    world = World(make_rig, deployment(price=Price(usd_per_second=Decimal("0.1"))))
    form = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nhouse\r\n'
    form += b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n%b\r\n--b--\r\n'

    async def pieces() -> AsyncIterator[bytes]:
        yield form % (b"x" * 40_000)

    call = world.rig.call(op.TRANSCRIPTION)
    call.caller = key(max_budget=Decimal("0.9"))
    with Upload(FORM, pieces(), None) as upload, pytest.raises(BudgetExceeded, match=r"may cost 1\.1"):
        await world.rig.pipeline.serve_upload(call, upload)


async def test_what_a_fallback_has_done_is_paid_for_by_the_money_of_its_model(pair: World) -> None:
    pair.rig.upstreams["a"].script(b"{}", status=500)
    each = {name: ModelBudget(max_budget=Decimal(1)) for name in ("house", "other")}
    caller = key(model_max_budget=each, max_budget=Decimal(1))
    await pair.ask(caller, CHAT | {"model": "other"})
    await pair.ask(caller)
    assert pair.left(caller, "money") == nanos(1 - 2 * COST)
    left = {name: pair.till.counters.remaining(caller.model_budgets[name][0].meter(NOW)) for name in each}
    assert left == {"house": nanos(Decimal(1)), "other": nanos(1 - 2 * COST)}


async def test_what_was_never_tried_gives_everything_back(make_rig: Any, deployment: Any) -> None:
    world = World(make_rig, deployment(max_parallel_requests=1))
    world.rig.upstream.script(is_held=True)
    caller = key(rpm_limit=10, tpm_limit=1000, max_budget=Decimal(1000))
    first = asyncio.create_task(world.ask(caller))
    await world.rig.turns()
    before = [world.left(caller, kind) for kind in ("rpm", "tpm", "money")]
    waiting = asyncio.create_task(world.ask(caller))
    await world.rig.turns()
    assert world.left(caller, "rpm") == 8
    for task in (waiting, first):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if task is waiting:
            assert [world.left(caller, kind) for kind in ("rpm", "tpm", "money")] == before


async def test_an_answer_that_was_kept_costs_nothing_but_a_request(make_rig: Any, deployment: Any) -> None:
    world = World(make_rig, deployment(), serving=ServingSettings(cache=CacheSettings(), max_body_bytes=1 << 20))
    caller = key(rpm_limit=10, tpm_limit=1000, max_budget=Decimal(1))
    await world.ask(caller)
    reply = await world.ask(caller)
    assert "x-litellm-cache-key" in reply.headers
    assert [world.left(caller, kind) for kind in ("rpm", "tpm", "money")] == [8, 985, nanos(1 - COST)]
    assert [(event.is_cached, event.cost_nano_usd) for event in world.ledger.events] == [
        (False, nanos(COST)),
        (True, 0),
    ]


async def test_counting_tokens_is_a_request_and_no_more(world: World) -> None:
    caller = key(rpm_limit=10, tpm_limit=1000, max_budget=Decimal("0.000001"))
    body = {"model": "house", "messages": [{"role": "user", "content": "Hi"}]}
    assert (await world.ask(caller, body, operation=op.COUNT_TOKENS)).status == 200
    assert (world.left(caller, "rpm"), world.left(caller, "tpm"), world.ledger.events) == (9, 1000, [])


async def test_an_attempt_that_another_one_outruns_is_paid_for_as_far_as_is_known(
    make_rig: Any, deployment: Any
) -> None:
    routing = RoutingSettings(num_retries=0, hedging={"house": Hedging(delay=0.0)})
    world = World(make_rig, deployment(id="a"), deployment(id="b"), routing=routing)
    for upstream in world.rig.upstreams.values():
        upstream.once(ANSWER, is_held=True)
    caller = key(max_budget=Decimal(10))
    task = asyncio.create_task(world.ask(caller))
    await asyncio.sleep(0.01)
    world.rig.upstreams["b"].go.set()
    await task
    loser, winner = sorted(world.ledger.events, key=lambda event: event.status)
    assert (loser.status, loser.deployment, winner.deployment) == ("cancelled", "a", "b")
    assert (winner.cost_nano_usd, loser.output_tokens) == (nanos(COST), 0)
    assert loser.cost_nano_usd == loser.input_tokens * nanos(Decimal("0.001")) > 0
    assert world.left(caller, "money") == nanos(Decimal(10)) - world.ledger.total


async def test_prompts_and_answers_are_written_down_where_that_is_wanted(world: World) -> None:
    await world.ask(key())
    world.till.keeps_content = True
    reply = await world.ask(key())
    world.rig.upstream.script(b"{}", status=500)
    with pytest.raises(UpstreamRejected):
        await world.ask(key())
    request = msgspec.json.encode(CHAT).decode()
    assert [event.content for event in world.ledger.events] == [
        None,
        {"request": request, "response": reply.body.decode()},
        {"request": request},
    ]


async def test_what_a_router_has_asked_before_is_paid_for_by_its_caller(world: World) -> None:
    caller = key(max_budget=Decimal(1))
    call = world.rig.call()
    call.caller = caller
    call.spend(Decimal("0.3"))
    await world.rig.pipeline.serve(call, msgspec.json.encode(CHAT))
    world.till.note_down()
    assert [(e.operation, e.cost_nano_usd) for e in world.ledger.events] == [
        ("chat", nanos(COST)),
        ("asks", nanos(Decimal("0.3"))),
    ]
    assert world.left(caller, "money") == nanos(1 - COST - Decimal("0.3"))


async def test_a_bill_is_closed_once(world: World) -> None:
    caller = key(max_parallel_requests=5)
    world.rig.upstream.script(is_held=True)
    call = world.rig.call()
    call.caller = caller
    task = asyncio.create_task(world.rig.pipeline.serve(call, msgspec.json.encode(CHAT)))
    await world.rig.turns()
    bill = call.bill
    bill.close()
    bill.close()
    world.till.note_down()
    assert world.left(caller, "slots") == 5
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    world.till.note_down()
    assert world.left(caller, "slots") == 5


SAID = b'{"choices":[{"message":{"role":"assistant","content":"%b"}}]%b}'


@pytest.mark.parametrize("usage", [b"", b',"usage":null', b',"usage":{}', b',"usage":{"prompt_tokens":0}'])
async def test_an_answer_without_usage_costs_what_was_said(world: World, usage: bytes) -> None:
    world.rig.upstream.script(SAID % (b"x" * 360, usage))
    caller = key(max_budget=Decimal(1), tpm_limit=1000)
    await world.ask(caller)
    given = round(len(msgspec.json.encode(CHAT)) / 3.6)
    (event,) = world.ledger.events
    assert (event.input_tokens, event.output_tokens) == (given, 100)
    assert event.cost_nano_usd == given * nanos(Decimal("0.001")) + 100 * nanos(Decimal("0.002"))
    assert world.left(caller, "money") == nanos(Decimal(1)) - event.cost_nano_usd
    assert world.left(caller, "tpm") == 1000 - given - 100


async def test_json_in_the_place_of_events_costs_what_it_says(world: World) -> None:
    caller = key(max_budget=Decimal(1))
    with pytest.raises(UpstreamBroken):
        await world.ask(caller, CHAT | {"stream": True})
    world.rig.upstream.script(b'{"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}')
    with pytest.raises(UpstreamBroken):
        await world.ask(caller)
    assert [(event.status, event.cost_nano_usd) for event in world.ledger.events] == [
        ("BadGatewayError", nanos(COST)),
        ("BadGatewayError", nanos(COST)),
    ]
    assert world.left(caller, "money") == nanos(1 - 2 * COST)


@pytest.mark.parametrize(
    ("price", "cost"),
    [
        (Price(usd_per_second=Decimal("0.01")), Decimal("0.11")),
        (Price(input_usd_per_token=Decimal("0.001"), output_usd_per_token=Decimal(0)), Decimal("0.165")),
    ],
)
@pytest.mark.parametrize(("kind", "answer"), [(b"text/plain", b"Hello"), (b"application/json", b'{"text":"Hello"}')])
@pytest.mark.parametrize("has_budget", [True, False])
async def test_a_transcription_without_a_length_is_paid_for_by_the_bytes_that_were_heard(
    make_rig: Any, deployment: Any, price: Price, cost: Decimal, kind: bytes, answer: bytes, has_budget: bool
) -> None:
    world = World(make_rig, deployment(price=price))
    world.rig.upstream.script(answer, kind=kind)
    form = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nhouse\r\n'
    form += b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n%b\r\n--b--\r\n'

    async def pieces() -> AsyncIterator[bytes]:
        yield form % (b"x" * 40_000)

    call = world.rig.call(op.TRANSCRIPTION, {b"content-type": FORM})
    call.caller = caller = key(max_budget=Decimal(1)) if has_budget else key()
    with Upload(FORM, pieces(), None) as upload:
        await world.rig.pipeline.serve_upload(call, upload)
    world.till.note_down()
    assert world.ledger.total == nanos(cost)
    assert not has_budget or world.left(caller, "money") == nanos(1 - cost)


@pytest.mark.parametrize("told", [b"", b',"meta":{}', b',"meta":{"billed_units":{}}', b',"usage":{"total_tokens":7}'])
async def test_a_rerank_by_the_query_is_paid_for_although_nobody_counts_queries(
    make_rig: Any, deployment: Any, told: bytes
) -> None:
    world = World(make_rig, deployment(vendor="cohere", price=Price(usd_per_query=Decimal("0.1"))))
    world.rig.upstream.script(b'{"results":[{"index":0,"relevance_score":0.5}]%b}' % told)
    body = {"model": "house", "query": "x", "documents": ["a"] * 150}
    await world.ask(key(max_budget=Decimal(1)), body, operation=op.RERANK)
    assert world.ledger.total == nanos(Decimal("0.2"))


async def test_speech_by_the_token_is_paid_for_by_its_text(make_rig: Any, deployment: Any) -> None:
    price = Price(input_usd_per_token=Decimal("0.001"), output_usd_per_token=Decimal("0.01"))
    world = World(make_rig, deployment(price=price))
    world.rig.upstream.script(b"mp3", kind=b"audio/mpeg")
    body = {"model": "house", "voice": "x", "input": "x" * 10}
    await world.ask(key(max_budget=Decimal(2)), body, operation=op.SPEECH)
    given = round(len(msgspec.json.encode(body)) / 3.6)
    assert world.ledger.total == nanos(given * Decimal("0.001") + Decimal("0.2"))


async def test_a_model_without_a_price_costs_nothing_that_is_known(make_rig: Any, deployment: Any) -> None:
    world = World(make_rig, deployment(price=Price()))
    await world.ask(key())
    (event,) = world.ledger.events
    assert (event.cost_nano_usd, event.input_tokens, event.output_tokens) == (0, 10, 5)


async def test_an_answer_in_another_dialect_without_usage_costs_what_was_said(make_rig: Any, deployment: Any) -> None:
    world = World(make_rig, deployment(vendor="anthropic"))
    world.rig.upstream.script(
        b'{"id":"m","type":"message","role":"assistant","model":"x","stop_reason":"end_turn",'
        b'"content":[{"type":"text","text":"%b"}]}' % (b"x" * 360)
    )
    await world.ask(key(max_budget=Decimal(1)))
    assert [event.output_tokens for event in world.ledger.events] == [100]
