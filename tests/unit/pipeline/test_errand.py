from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from pointsman.errors import GatewayError, Inexpressible, InvalidRequest, UpstreamRejected
from pointsman.pipeline.errand import Asked, Ended, Errand, Limits, Stationery
from pointsman.pipeline.translate import Shaping
from pointsman.pipeline.wants import NOTHING, Wants
from pointsman.providers.codecs import INBOUND
from pointsman.routing.plan import Wish
from pointsman.routing.procedures.base import Answer, Ask, Ending, Plan, Purpose, Reply, Steps, ask, prompt, route
from pointsman.wire import operations as op
from pointsman.wire.chat import ChatRequest
from pointsman.wire.operations import Operation
from pointsman.wire.wishes import Fallback

Make = Callable[..., Any]
NO = b'{"error":{"message":"no"}}'
EVENTS = (
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"Whole"}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":2,"total_tokens":22}}\n\n'
    b"data: [DONE]\n\n"
)
BODIES: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "Hello"}]},
    "text_completion": {"prompt": "Hello"},
    "messages": {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 9},
    "responses": {"input": "Hello"},
    "generate_content": {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
}
OPERATIONS = {one.name: one for one in op.CONVERSATIONS}


def said(text: str, given: int = 10, made: int = 5) -> bytes:
    usage = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return msgspec.json.encode({"id": "c", "model": "up", "choices": [choice], "usage": usage})


KINDS = {False: b"application/json", True: b"text/event-stream"}


def counted(rig: Any) -> dict[tuple[str, int], int]:
    """Requests of clients, by the model that was asked for and the status."""
    found: dict[tuple[str, int], int] = {}
    for meter in rig.metrics.deployment_meters():
        for status, count in meter.statuses.items():
            key = (meter.requested_model, status)
            found[key] = found.get(key, 0) + count
    return found


def question(candidate: str, purpose: Purpose = "sub-query") -> Ask:
    return Ask(candidate=candidate, request=prompt("Be brief.", "Why?"), purpose=purpose)


def whole(*candidates: str) -> Steps[Ending]:
    """Ask them, and let the first one's answer be that of all."""
    replies: list[Reply] = yield from ask(*map(question, candidates))
    first = next(reply for reply in replies if reply.answer is not None)
    assert first.answer is not None
    return Answer(first.ask.candidate, first.answer, first.ask.purpose)


def planned(*candidates: str, last: str, otherwise: bool = False) -> Steps[Ending]:
    """Ask them, and go on with ``last``."""
    (first, *_) = yield from ask(*map(question, candidates))
    kept = None
    if otherwise and first.answer is not None:
        kept = Answer(first.ask.candidate, first.answer, first.ask.purpose)
    return Plan(last, prompt("", "What then?", max_tokens=7), kept)


class Run:
    """A procedure carried out between scripted upstreams and a recording downstream."""

    def __init__(self, rig: Any, operation: Operation = op.CHAT, *, stream: bool = False, **more: Any) -> None:
        self.rig = rig
        self.trace: list[Asked] = []
        self.gone_on: list[str] = []
        self.routed: list[Sequence[str]] = []
        self.ended: Ended | None = None
        self.limits = Limits(more.pop("asks", 16), more.pop("cost_usd", None), more.pop("total_usd", None))
        self.want: Wants = more.pop("want", NOTHING)
        self.call = rig.call(operation, **more)
        self.call.is_stream = stream
        self.call.group = "auto"
        request = INBOUND[operation.name].read_request(msgspec.json.encode(BODIES[operation.name]))
        self.request: ChatRequest = msgspec.structs.replace(request, include_usage=stream)

    async def __call__(self, steps: Steps[Ending], others: Sequence[str] = ()) -> Any:
        stationery = Stationery("automix", lambda: "u1", lambda: 1e9)
        errand = Errand(self.rig.pipeline, self.call, self.want, self.request, self.limits, stationery, self.trace)
        try:
            await errand.run(steps, self.route, self.go_on, others)
        finally:
            self.ended = errand.ended
        return self.rig.downstream

    async def route(self, texts: Sequence[str]) -> list[str]:
        self.routed.append(texts)
        return ["second" for _ in texts]

    async def go_on(self, candidate: str) -> None:
        self.gone_on.append(candidate)


@pytest.fixture
def rig(groups: Make) -> Any:
    rig = groups()
    for name in ("house", "second", "third"):
        rig.upstreams[f"{name}-id"].script(said(f"I am {name}"))
    return rig


@pytest.mark.requirement("routing.procedures.reply")
async def test_a_reply_adds_up_what_all_asks_have_used_and_cost(rig: Any) -> None:
    reply = await Run(rig)(whole("second", "third"))

    body = msgspec.json.decode(reply.body)
    assert body["model"] == "second"
    assert body["choices"][0]["message"]["content"] == "I am second"
    assert body["usage"]["prompt_tokens"] == 20
    assert body["usage"]["completion_tokens"] == 10
    assert reply.headers["x-litellm-model-id"] == "second-id"
    assert reply.headers["x-pointsman-routed-model"] == "second"
    assert reply.headers["x-pointsman-reason"] == "automix"
    assert reply.headers["x-pointsman-asks"] == "2"
    assert reply.headers["x-pointsman-asked"] == "sub-query:second sub-query:third"
    assert reply.headers["x-pointsman-asks-cost"] == "0.04"
    assert reply.headers["x-litellm-response-cost"] == "0.04"
    assert reply.headers["x-request-id"] == "r1"


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.requirement("routing.procedures.reply")
async def test_the_reply_is_in_the_callers_dialect(rig: Any, name: str) -> None:
    reply = await Run(rig, OPERATIONS[name])(whole("second"))

    body = msgspec.json.decode(reply.body)
    texts = {
        "chat": lambda: body["choices"][0]["message"]["content"],
        "text_completion": lambda: body["choices"][0]["text"],
        "messages": lambda: body["content"][0]["text"],
        "responses": lambda: body["output"][0]["content"][0]["text"],
        "generate_content": lambda: body["candidates"][0]["content"]["parts"][0]["text"],
    }
    assert texts[name]() == "I am second"


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("chat", b"data: [DONE]\n\n"),
        ("text_completion", b"data: [DONE]\n\n"),
        ("messages", b'data: {"type":"message_stop"}\n\n'),
        ("responses", b"event: response.completed"),
        ("generate_content", b'"finishReason":"STOP"'),
    ],
)
@pytest.mark.requirement("routing.procedures.reply")
async def test_an_answer_that_is_there_is_streamed_to_whoever_wants_a_stream(rig: Any, name: str, end: bytes) -> None:
    reply = await Run(rig, OPERATIONS[name], stream=True)(whole("second"))

    assert reply.headers["content-type"].startswith("text/event-stream")
    assert b"I am second" in reply.body
    assert end in reply.body
    assert reply.is_finished
    assert not rig.upstreams["second-id"].sent[0].json.get("stream")


async def test_gemini_clients_can_have_an_array(rig: Any) -> None:
    run = Run(rig, op.GENERATE_CONTENT, stream=True)
    run.call.is_array = True
    reply = await run(whole("second"))

    assert reply.headers["content-type"] == "application/json"
    assert msgspec.json.decode(reply.body)[0]["candidates"][0]["content"]["parts"][0]["text"] == "I am second"


@pytest.mark.requirement("routing.procedures.reply")
async def test_a_last_call_is_streamed_with_the_usage_of_the_asks_before(rig: Any) -> None:
    rig.upstreams["third-id"].script(EVENTS, kind=b"text/event-stream")
    reply = await Run(rig, stream=True)(planned("second", "second", last="third"))

    assert reply.headers["x-pointsman-routed-model"] == "third"
    assert reply.headers["x-pointsman-asked"] == "sub-query:second*2"

    events = [line[6:] for line in reply.body.split(b"\n") if line.startswith(b"data: {")]
    assert msgspec.json.decode(events[-1])["usage"]["prompt_tokens"] == 40
    assert b'"content":"Whole"' in reply.body
    assert reply.headers["x-pointsman-asks"] == "3"
    assert reply.headers["x-pointsman-asks-cost"] == "0.04"
    assert rig.upstreams["third-id"].sent[0].json["max_tokens"] == 7


async def test_a_last_call_of_a_whole_reply_is_one_more_ask(rig: Any) -> None:
    run = Run(rig)
    reply = await run(planned("second", last="third"))

    assert msgspec.json.decode(reply.body)["choices"][0]["message"]["content"] == "I am third"
    assert reply.headers["x-pointsman-asks"] == "2"
    assert run.call.status == 200


async def test_what_asks_nothing_goes_on_as_the_request_that_it_is(rig: Any) -> None:
    def one_shot() -> Steps[Ending]:
        (name,) = yield from route(["Why?"])
        return Plan(name, prompt("", "Hello"))

    run = Run(rig)
    await run(one_shot())

    assert run.gone_on == ["second"]
    assert run.routed == [["Why?"]]
    assert rig.asked == {}


async def test_a_request_that_nobody_could_be_asked_goes_on_as_it_is_too(rig: Any) -> None:
    rig.upstreams["house-id"].script(NO, status=400)
    run = Run(rig)

    def in_vain() -> Steps[Ending]:
        yield from ask(question("house"))
        return Plan("second", run.request)

    await run(in_vain())

    assert run.gone_on == ["second"]
    assert [one.failure for one in run.trace] == ["UpstreamRejected"]


async def test_asks_of_one_step_are_on_their_way_at_the_same_time(rig: Any) -> None:
    for name in ("house-id", "second-id"):
        rig.upstreams[name].script(said("so"), is_held=True)
    task = asyncio.create_task(Run(rig)(whole("house", "second")))
    await rig.turns()

    assert rig.asked == {"house-id": 1, "second-id": 1}
    for name in ("house-id", "second-id"):
        rig.upstreams[name].go.set()
    assert (await task).status == 200


@pytest.mark.requirement("routing.procedures.cancelled")
@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_cancels_every_ask(rig: Any, stream: bool) -> None:
    for name in ("house-id", "second-id"):
        rig.upstreams[name].script(said("so"), is_held=True)
    task = asyncio.create_task(Run(rig, stream=stream)(whole("house", "second")))
    await rig.turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert rig.upstreams["house-id"].calls == ["cancel"]
    assert rig.upstreams["second-id"].calls == ["cancel"]
    assert rig.busy == 0


@pytest.mark.requirement("routing.procedures.cancelled")
async def test_a_client_that_leaves_cancels_the_last_call_too(rig: Any) -> None:
    rig.upstreams["third-id"].script(said("so"), is_held=True)
    task = asyncio.create_task(Run(rig, stream=True)(planned("second", last="third")))
    await rig.turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert rig.upstreams["third-id"].calls == ["cancel"]
    assert rig.busy == 0


@pytest.mark.requirement("routing.procedures.budget")
async def test_asks_over_the_limit_are_not_made(rig: Any) -> None:
    run = Run(rig, asks=2)
    await run(planned("second", "house", "house", last="third"))

    assert rig.asked == {"second-id": 1, "house-id": 1, "third-id": 1}


@pytest.mark.requirement("routing.procedures.budget")
async def test_when_the_money_is_spent_nothing_more_is_asked_but_the_last_call(rig: Any) -> None:
    def twice() -> Steps[Ending]:
        yield from ask(question("second"))
        (reply,) = yield from ask(question("house"))
        assert reply.answer is None
        return Plan("third", prompt("", "So?"))

    await Run(rig, cost_usd=0.81)(twice())

    assert rig.asked == {"second-id": 1, "third-id": 1}


@pytest.mark.requirement("routing.procedures.budget")
@pytest.mark.parametrize("limits", [{"cost_usd": 0.03}, {"total_usd": 0.03}, {"cost_usd": 9, "total_usd": 0.03}])
async def test_asks_that_may_cost_more_than_is_left_are_not_made(rig: Any, limits: dict[str, Any]) -> None:
    def short(candidate: str) -> Ask:
        # Two tokens at a tenth of a cent are given, ten at two tenths may be made.
        return Ask(candidate=candidate, request=prompt("", "Why not?", max_tokens=10), purpose="sub-query")

    def steps() -> Steps[Ending]:
        yield from ask(short("second"))
        replies = yield from ask(short("house"), short("house"))
        assert [reply.answer for reply in replies] == [None, None]
        return Plan("third", prompt("", "So?"))

    await Run(rig, **limits)(steps())

    assert rig.asked == {"second-id": 1, "third-id": 1}


@pytest.mark.requirement("routing.procedures.budget")
@pytest.mark.parametrize(("total_usd", "served"), [(0.81, "second"), (9.0, "third")])
async def test_a_last_call_that_a_request_cannot_pay_is_not_made_where_there_is_an_answer(
    rig: Any, total_usd: float, served: str
) -> None:
    def steps() -> Steps[Ending]:
        (first,) = yield from ask(question("second"))
        assert first.answer is not None
        return Plan("third", prompt("", "What then?"), Answer("second", first.answer, first.ask.purpose))

    reply = await Run(rig, total_usd=total_usd)(steps())

    assert reply.headers["x-pointsman-routed-model"] == served
    assert ("third-id" in rig.asked) is (served == "third")


@pytest.mark.requirement("routing.procedures.budget")
@pytest.mark.parametrize("wants", [{"timeout": 3.25}, {"stream_timeout": 3.25, "timeout": 60.0}])
async def test_asks_of_a_stream_are_over_before_the_client_has_waited_too_long(rig: Any, wants: dict[str, Any]) -> None:
    rig.upstreams["third-id"].script(EVENTS, kind=b"text/event-stream")
    rig.upstreams["second-id"].seconds = 2.0
    began = rig.clock()
    await Run(rig, stream=True, want=Wants(**wants))(planned("second", last="third"))

    assert rig.upstreams["second-id"].sent[0].deadline == pytest.approx(began + 0.7 * 3)
    last = rig.upstreams["third-id"].sent[0]
    assert last.timeouts.first_byte == pytest.approx(1.0)
    assert last.deadline > began + 60


async def test_when_the_client_has_waited_too_long_nothing_more_is_asked_but_the_last_call(rig: Any) -> None:
    rig.upstreams["third-id"].script(EVENTS, kind=b"text/event-stream")
    rig.upstreams["second-id"].seconds = 5.0

    def twice() -> Steps[Ending]:
        yield from ask(question("second"))
        (reply,) = yield from ask(question("house"))
        assert reply.answer is None
        return Plan("third", prompt("", "So?"))

    await Run(rig, stream=True, want=Wants(timeout=3.0))(twice())

    assert rig.asked == {"second-id": 1, "third-id": 1}


@pytest.mark.requirement("routing.procedures.budget")
async def test_an_ask_leaves_some_of_the_time_to_the_last_call(rig: Any) -> None:
    await Run(rig, want=Wants(timeout=100.25))(planned("second", last="third"))

    # The request came a quarter of a second ago.
    now = rig.clock()
    assert rig.upstreams["second-id"].sent[0].deadline == pytest.approx(now + 70)
    assert rig.upstreams["third-id"].sent[0].deadline == pytest.approx(now + 100)


@pytest.mark.requirement("routing.procedures.reply")
async def test_the_deployment_that_is_named_is_the_one_that_gave_the_answer(make_rig: Make, deployment: Make) -> None:
    first, other = deployment("house", id="a"), deployment("house", id="b")
    rig = make_rig(first, other)
    rig.upstreams["a"].script(said("From a"))
    rig.upstreams["b"].script(said("From b"))

    def judged() -> Steps[Ending]:
        (reply,) = yield from ask(question("house", "answer"))
        yield from ask(*[question("house", "verify")] * 6)
        assert reply.answer is not None
        return Answer("house", reply.answer)

    rig.pipeline._chance = lambda: 0.9 if rig.asked else 0.0
    reply = await Run(rig)(judged())

    named = reply.headers["x-litellm-model-id"]
    assert rig.asked.keys() == {"a", "b"}
    assert msgspec.json.decode(reply.body)["choices"][0]["message"]["content"] == f"From {named}"


@pytest.mark.requirement("routing.procedures.metrics")
@pytest.mark.parametrize("stream", [False, True])
async def test_however_much_was_asked_one_request_of_a_client_is_counted(rig: Any, stream: bool) -> None:
    rig.upstreams["third-id"].script(EVENTS if stream else said("So"), kind=KINDS[stream])
    reply = await Run(rig, stream=stream)(planned("second", "second", "house", last="third"))

    assert counted(rig) == {("auto", 200): 1}
    assert reply.is_settled
    assert {meter.model_id: meter.successes for meter in rig.metrics.deployment_meters()} == {
        "second-id": 2,
        "house-id": 1,
        "third-id": 1,
    }
    assert sum(sum(meter.total.counts) for meter in rig.metrics.deployment_meters()) == 1
    assert {meter.requested_model for meter in rig.metrics.deployment_meters()} == {"auto"}
    assert sum(meter.spend_usd for meter in rig.metrics.deployment_meters()) == pytest.approx(
        0.06 + (0.024 if stream else 0.02)
    )


async def test_a_request_that_somebody_else_counts_is_not_counted_here(rig: Any) -> None:
    run = Run(rig)
    rig.downstream.is_settled = True
    await run(planned("second", last="house"))
    assert counted(rig) == {}


@pytest.mark.requirement("routing.procedures.metrics")
@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_is_counted_once_too(rig: Any, stream: bool) -> None:
    for name in ("house-id", "second-id"):
        rig.upstreams[name].script(said("so"), is_held=True)
    run = Run(rig, stream=stream)
    task = asyncio.create_task(run(whole("house", "second")))
    await rig.turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert counted(rig) == {("auto", 499): 1}
    assert run.ended is not None
    assert (run.ended.status, run.ended.served) == (499, "")


@pytest.mark.requirement("routing.procedures.metrics")
@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_that_fails_is_counted_once_too(rig: Any, stream: bool) -> None:
    rig.upstreams["third-id"].script(NO, status=500)
    run = Run(rig, stream=stream)
    with pytest.raises(GatewayError):
        await run(planned("second", last="third"))

    assert counted(rig) == {("auto", 500): 1}
    assert rig.meters("third-id").attempt_failures == {"UpstreamRejected": 1}
    assert rig.meters("third-id").failures == {"UpstreamRejected": 1}
    assert run.ended is not None
    assert (run.ended.status, run.ended.served) == (500, "")


@pytest.mark.parametrize("stream", [False, True])
async def test_what_came_of_it_is_told_with_all_that_was_spent(rig: Any, stream: bool) -> None:
    rig.upstreams["third-id"].script(EVENTS if stream else said("So", 20, 2), kind=KINDS[stream])
    run = Run(rig, stream=stream)
    await run(planned("second", last="third"))

    ended = run.ended
    assert ended is not None
    assert (ended.served, ended.status, ended.error, ended.problem) == ("third", 200, None, "")
    assert ended.usage is not None
    assert (ended.usage.input_tokens, ended.usage.output_tokens) == (30, 7)
    assert ended.cost_usd == pytest.approx(0.044)


async def test_the_tools_that_an_answer_calls_are_told(rig: Any) -> None:
    call = {"id": "call_7", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body = msgspec.json.decode(said(""))
    body["choices"][0]["message"] = {"role": "assistant", "content": None, "tool_calls": [call]}
    rig.upstreams["second-id"].script(msgspec.json.encode(body))
    run = Run(rig)
    await run(whole("second"))

    assert run.ended is not None
    assert "call_7" in run.ended.calls


async def test_an_answer_that_says_itself_that_it_was_cut_off_is_told_as_one(rig: Any) -> None:
    rig.upstreams["second-id"].script(said("I am").replace(b'"stop"', b'"length"'))
    run = Run(rig)
    await run(whole("second"))

    assert run.ended is not None
    assert run.ended.problem == "truncated"


@pytest.mark.requirement("routing.procedures.reply")
@pytest.mark.parametrize("stream", [False, True])
async def test_the_headers_name_the_model_that_has_answered_in_the_place_of_another(rig: Any, stream: bool) -> None:
    rig.upstreams["third-id"].script(NO, status=500)
    rig.upstreams["house-id"].script(EVENTS if stream else said("I am house"), kind=KINDS[stream])
    run = Run(rig, stream=stream)
    reply = await run(planned("second", last="third"), ["third", "house"])

    assert reply.headers["x-pointsman-routed-model"] == "house"
    assert run.ended is not None
    assert run.ended.served == "house"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("wish", "asked"),
    [
        (Wish(is_without_fallbacks=True), {"second-id": 1, "third-id": 1}),
        (Wish(fallbacks=(Fallback("third"),)), {"second-id": 1, "third-id": 1}),
        (Wish(fallbacks=(Fallback("house"),)), {"second-id": 1, "third-id": 1, "house-id": 1}),
    ],
)
async def test_a_last_call_goes_on_only_where_the_caller_wants_it(
    rig: Any, stream: bool, wish: Wish, asked: dict[str, int]
) -> None:
    for name in ("house-id", "third-id"):
        rig.upstreams[name].script(NO, status=500)
    with pytest.raises(GatewayError):
        await Run(rig, stream=stream, want=Wants(wish=wish))(planned("second", last="third"), ["third", "house"][:1])

    assert rig.asked == asked


@pytest.mark.parametrize("stream", [False, True])
async def test_whose_answer_is_at_hand_is_not_asked_again(rig: Any, stream: bool) -> None:
    rig.upstreams["third-id"].script(NO, status=500)

    def doubted() -> Steps[Ending]:
        (first,) = yield from ask(question("second", "answer"))
        assert first.answer is not None
        return Plan("third", prompt("", "What then?"), Answer("second", first.answer))

    reply = await Run(rig, stream=stream)(doubted(), ["third", "second"])

    assert rig.asked == {"second-id": 1, "third-id": 1}
    assert reply.headers["x-pointsman-routed-model"] == "second"


async def test_parameters_of_the_callers_own_are_not_lost_without_a_word(make_rig: Make, deployment: Make) -> None:
    def asked(**more: Any) -> Any:
        request = prompt("", "Why?", options={"logit_bias": {"1": 2}})
        mine = Ask(candidate="second", request=request, purpose="think", is_own=False, **more)

        def steps() -> Steps[Ending]:
            (reply,) = yield from ask(mine)
            if reply.answer is None:
                return Plan("second", request)
            return Answer("second", reply.answer, "think")

        return steps()

    rig = make_rig(deployment("second", vendor="groq"))
    with pytest.raises(Inexpressible):
        await Run(rig)(asked())
    reply = await Run(rig)(asked(ours=frozenset({"logit_bias"})))
    assert "x-pointsman-dropped" not in reply.headers
    reply = await Run(rig, want=Wants(shaping=Shaping(drops_all=True)))(asked())
    assert reply.headers["x-pointsman-dropped"] == "logit_bias"


async def test_each_ask_is_in_the_trace_with_what_it_has_used(rig: Any) -> None:
    rig.upstreams["house-id"].script(NO, status=400)
    run = Run(rig)
    await run(planned("second", "house", last="third"))

    assert [(one.purpose, one.model, one.deployment, one.failure) for one in run.trace] == [
        ("sub-query", "second", "second-id", None),
        ("sub-query", "house", "house-id", "UpstreamRejected"),
        ("answer", "third", "third-id", None),
    ]
    assert (run.trace[0].input_tokens, run.trace[0].output_tokens, run.trace[0].cost_usd) == (10, 5, 0.02)


async def test_a_streamed_last_call_is_in_the_trace_too(rig: Any) -> None:
    rig.upstreams["third-id"].script(EVENTS, kind=b"text/event-stream")
    run = Run(rig, stream=True)
    await run(planned("second", last="third"))

    assert (run.trace[-1].model, run.trace[-1].input_tokens) == ("third", 20)


@pytest.mark.parametrize("stream", [False, True])
async def test_when_the_last_call_fails_another_candidate_is_asked(rig: Any, stream: bool) -> None:
    rig.upstreams["third-id"].script(NO, status=500)
    if stream:
        rig.upstreams["house-id"].script(EVENTS, kind=b"text/event-stream")
    reply = await Run(rig, stream=stream)(planned("second", last="third"), ["third", "house"])

    assert reply.status == 200
    assert rig.asked == {"second-id": 1, "third-id": 1, "house-id": 1}


@pytest.mark.parametrize("stream", [False, True])
async def test_when_nobody_else_is_left_an_answer_in_reserve_is_better_than_none(rig: Any, stream: bool) -> None:
    rig.upstreams["third-id"].script(NO, status=500)
    run = Run(rig, stream=stream)
    reply = await run(planned("second", last="third", otherwise=True))

    assert reply.status == 200
    assert b"I am second" in reply.body
    assert (run.call.status, run.call.failure) == (200, None)
    assert reply.lines.count(b"x-pointsman-asks:") == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_without_one_the_client_is_told_of_the_failure(rig: Any, stream: bool) -> None:
    rig.upstreams["third-id"].script(NO, status=400)
    run = Run(rig, stream=stream)
    with pytest.raises(UpstreamRejected):
        await run(planned("second", last="third"))

    assert (run.call.status, run.call.failure) == (400, "UpstreamRejected")


async def test_an_ask_has_no_fallbacks_as_another_model_would_speak_for_it(groups: Make) -> None:
    rig = groups(fallbacks={"house": ("third",)})
    rig.upstreams["house-id"].script(NO, status=500)
    rig.upstreams["second-id"].script(said("so"))
    await Run(rig)(planned("house", last="second"))

    assert rig.asked == {"house-id": 1, "second-id": 1}


async def test_parameters_that_a_candidate_cannot_take_are_left_out_of_our_own_asks(
    make_rig: Make, deployment: Make
) -> None:
    rig = make_rig(deployment("second", vendor="groq"))
    request = prompt("", "Why?", options={"logit_bias": {"1": 2}})

    def own() -> Steps[Ending]:
        mine = Ask(candidate="second", request=request, purpose="think")
        callers = Ask(candidate="second", request=request, purpose="answer", is_own=False)
        replies = yield from ask(mine, callers)
        assert [reply.answer is not None for reply in replies] == [True, False]
        assert replies[0].answer is not None
        return Answer("second", replies[0].answer, "think")

    assert (await Run(rig)(own())).status == 200


async def test_a_defect_is_not_taken_for_an_ask_that_failed(rig: Any) -> None:
    rig.upstreams["second-id"].error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await Run(rig)(whole("house", "second"))

    assert rig.busy == 0


async def test_an_unknown_candidate_is_an_ask_that_failed(rig: Any) -> None:
    run = Run(rig)
    reply = await run(whole("nobody", "second"))

    assert reply.status == 200
    assert run.trace[0] == Asked(purpose="sub-query", model="nobody", failure="ModelNotFound")


async def test_a_procedure_that_is_given_up_is_closed(rig: Any) -> None:
    closed = []

    def steps() -> Steps[Ending]:
        try:
            yield from route(["Why?"])
        finally:
            closed.append(True)
        return Plan("house", prompt("", "Hello"))

    run = Run(rig)

    async def fail(texts: Sequence[str]) -> list[str]:
        raise GatewayError

    run.route = fail  # type: ignore[method-assign]
    with pytest.raises(GatewayError):
        await run(steps())

    assert closed == [True]


@pytest.mark.requirement("routing.regions")
async def test_neither_an_ask_nor_what_follows_leaves_the_region(make_rig: Make, deployment: Make) -> None:
    there = {"house": "us-east-1", "second": "eu-west-1", "third": "eu-west-1"}
    rig = make_rig(*(deployment(name, f"up-{name}", region=region) for name, region in there.items()))
    rig.upstreams["third-id"].script(said("I am third"))
    want = Wants(regions=(("eu",),))
    await Run(rig, want=want)(planned("house", "second", last="third"))
    assert rig.asked == {"second-id": 1, "third-id": 1}
    with pytest.raises(InvalidRequest, match="answers in eu"):
        await Run(rig, want=want)(planned("second", last="house"))
    assert rig.asked == {"second-id": 2, "third-id": 1}
