from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from unit.pipeline.conftest import CHAT, DONE, ERROR, FORM, FORM_TYPE, MESSAGES, RECEIVED

from pointsman.access.caller import Caller, Family, caller_of
from pointsman.access.keys import Key
from pointsman.errors import InvalidRequest, ModelNotFound, UpstreamBroken, UpstreamRejected
from pointsman.pipeline.call import Call
from pointsman.pipeline.inside import Collector
from pointsman.pipeline.settings import CacheSettings, ServingSettings
from pointsman.pipeline.upload import Upload
from pointsman.providers.base import Price
from pointsman.routing.settings import Alias, RoutingSettings
from pointsman.wire import operations as op
from pointsman.wire.operations import Operation

Make = Callable[..., Any]


async def test_the_upstreams_name_goes_out_and_the_public_one_comes_back_and_nothing_else_changes(rig: Any) -> None:
    reply = await rig.ask(b'{ "x-new" : [1.50], "model":"house","messages":[ ]}')

    assert rig.sent.body == b'{ "x-new" : [1.50], "model":"up-1","messages":[ ]}'
    assert (reply.status, reply.is_finished, reply.is_settled) == (200, True, True)
    assert reply.body.startswith(b'{"id":"c1", "model":"house", "choices":[')
    assert reply.headers["content-type"] == "application/json"


async def test_a_body_that_says_the_upstreams_name_already_goes_out_as_it_came(
    make_rig: Make, deployment: Make
) -> None:
    rig = make_rig(deployment("up-1"))
    body = b'{"model":"up-1","messages":[]}'
    await rig.ask(body)
    assert rig.sent.body == body


async def test_a_second_model_in_the_body_does_not_reach_the_upstream(rig: Any) -> None:
    await rig.ask(b'{"model":"other","messages":[],"model":"house"}')
    assert rig.sent.body.count(b'"model"') == 1
    assert rig.sent.json["model"] == "up-1"


@pytest.mark.parametrize(
    ("asked", "sent", "group"),
    [
        ("fake/nice", "nice", "fake/*"),
        ("fake/inner-x", "specific-x", "fake/inner-*"),
        ("nick", "up-1", "house"),
        ("secret", "up-1", "house"),
        ("house-id", "up-1", "house"),
    ],
)
async def test_wildcards_aliases_and_ids_find_their_deployment(
    make_rig: Make, deployment: Make, asked: str, sent: str, group: str
) -> None:
    aliases = {"nick": Alias(model="house"), "secret": Alias(model="house", is_hidden=True)}
    deployments = [deployment(), deployment("fake/*", "*"), deployment("fake/inner-*", "specific-*")]
    rig = make_rig(*deployments, routing=RoutingSettings(aliases=aliases))

    reply = await rig.ask(CHAT | {"model": asked})

    assert rig.sent.json["model"] == sent
    assert msgspec.json.decode(reply.body)["model"] == asked
    assert rig.meter.requested_model == group


async def test_a_model_in_the_path_goes_before_the_bodys(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(), deployment("other", "up-2"))
    for body in (CHAT, {"messages": MESSAGES}):
        reply = await rig.ask(body, path_model="other")
        assert msgspec.json.decode(reply.body)["model"] == "other"
    assert [sent.json["model"] for sent in rig.upstreams["other-id"].sent] == ["up-2", "up-2"]


async def test_the_default_model_is_for_chat_and_completions_only(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(), routing=RoutingSettings(default_model="house"))
    await rig.ask({"messages": MESSAGES})
    assert rig.sent.json == {"model": "up-1", "messages": MESSAGES}
    await rig.ask({"prompt": "a"}, op.COMPLETION)
    with pytest.raises(InvalidRequest, match="names no model") as raised:
        await rig.ask({"input": "a"}, op.EMBEDDINGS)
    assert raised.value.param == "model"
    assert len(rig.upstream.sent) == 2


async def test_an_unknown_model_is_not_sent_and_not_counted_with_any_deployment(rig: Any) -> None:
    with pytest.raises(ModelNotFound):
        await rig.ask(CHAT | {"model": "nobody"})
    assert rig.upstream.sent == []
    assert not rig.downstream.is_settled
    assert rig.metrics.deployment_meters() == ()


async def test_a_request_without_a_model_is_served_by_a_deployment_of_its_mode(
    make_rig: Make, deployment: Make
) -> None:
    rig = make_rig(deployment(), deployment("judge", "moderator", mode="moderation"))
    rig.upstreams["judge-id"].script(b'{"model":"moderator","results":[]}')

    reply = await rig.ask({"input": "a"}, op.MODERATION)

    assert rig.sent.json == {"model": "moderator", "input": "a"}
    assert msgspec.json.decode(reply.body)["model"] == "judge"
    with pytest.raises(InvalidRequest, match="image_generation"):
        await rig.ask({"prompt": "a"}, op.IMAGE_GENERATION)


@pytest.mark.parametrize(("chance", "chosen"), [(0.0, "a"), (0.24, "a"), (0.26, "b"), (0.999, "b")])
async def test_a_deployment_is_drawn_by_weight(make_rig: Make, deployment: Make, chance: float, chosen: str) -> None:
    members = [deployment(id="a", weight=1.0), deployment(id="b", weight=3.0)]
    rig = make_rig(*members, chance=chance)
    await rig.ask(CHAT)
    assert len(rig.upstreams[chosen].sent) == 1
    assert rig.downstream.headers["x-litellm-model-id"] == chosen


@pytest.mark.parametrize(
    ("defaults", "overrides", "sent"),
    [
        ({"temperature": 0, "top_p": 1}, {}, {"temperature": None, "user": "me", "top_p": 1}),
        ({}, {"seed": 7, "user": "gateway"}, {"temperature": None, "user": "gateway", "seed": 7}),
        ({"top_p": 1}, {"top_p": 2, "user": "it"}, {"temperature": None, "user": "it", "top_p": 2}),
    ],
)
async def test_defaults_are_for_what_the_caller_left_out_and_overrides_for_all(
    make_rig: Make, deployment: Make, defaults: Any, overrides: Any, sent: Any
) -> None:
    rig = make_rig(deployment(defaults=defaults, overrides=overrides))
    await rig.ask(CHAT | {"temperature": None, "user": "me"})
    assert rig.sent.json == {"model": "up-1", "messages": MESSAGES} | sent


@pytest.mark.parametrize(
    ("operation", "vendor", "given", "options"),
    [
        (op.CHAT, "openai", {"stream": True}, {"include_usage": True}),
        (op.COMPLETION, "openai", {"stream": True}, {"include_usage": True}),
        (op.CHAT, "openai", {"stream": True, "stream_options": {"x": 1}}, {"x": 1, "include_usage": True}),
        (op.CHAT, "openai", {"stream": True, "stream_options": None}, {"include_usage": True}),
        (op.CHAT, "openai", {"stream": False}, None),
        (op.RESPONSES, "openai", {"stream": True}, None),
    ],
)
async def test_usage_is_asked_for_where_a_stream_tells_only_then(
    make_rig: Make, deployment: Make, operation: Operation, vendor: str, given: dict[str, Any], options: Any
) -> None:
    rig = make_rig(deployment(vendor=vendor))
    if given["stream"]:
        rig.upstream.script(b'data: {"type":"response.completed"}\n\n' + DONE, kind=b"text/event-stream")
    await rig.ask({"model": "house", "messages": [], "prompt": "", "input": ""} | given, operation)
    assert rig.sent.json.get("stream_options") == options


async def test_a_rerank_is_translated_both_ways(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(vendor="cohere"))
    rig.upstream.script(
        b'{"results":[{"index":0,"relevance_score":0.1},{"index":1,"relevance_score":0.9}],'
        b'"meta":{"billed_units":{"search_units":1}}}'
    )
    documents: list[Any] = ["a", {"title": "T", "text": "b"}]
    asked = {"model": "house", "query": "q", "documents": documents, "return_documents": True, "top_n": 1}

    reply = await rig.ask(asked, op.RERANK)

    assert rig.sent.json == {"model": "up-1", "query": "q", "documents": ["a", "b"], "top_n": 1}
    assert rig.sent.head.startswith(b"POST /v2/rerank HTTP/1.1\r\n")
    results = msgspec.json.decode(reply.body)["results"]
    assert results == [{"index": 1, "relevance_score": 0.9, "document": documents[1]}]
    assert rig.meter.route == "/v1/rerank"


@pytest.mark.parametrize("number", [b"1e999", b"9" * 5000])
async def test_a_number_that_cannot_be_read_is_whose_it_is(rig: Any, number: bytes) -> None:
    asked = b'{"model":"house","query":"q","documents":["a"],"x":%b}'
    with pytest.raises(InvalidRequest):
        await rig.ask(asked % number, op.RERANK)
    assert rig.upstream.sent == []
    rig.upstream.script(b'{"results":[{"index":0,"relevance_score":%b}]}' % number)
    with pytest.raises(UpstreamBroken):
        await rig.ask(asked % b"1", op.RERANK)
    assert rig.meter.failures == {"InvalidRequest": 1, "UpstreamBroken": 1}


async def test_a_large_rerank_answer_that_is_broken_in_the_middle_is_no_answer(rig: Any) -> None:
    rig.upstream.script(b'{"results":[%b]}' % (b"x" * 20_000))
    with pytest.raises(UpstreamBroken):
        await rig.ask({"model": "house", "query": "q", "documents": ["a"]}, op.RERANK)


async def test_usage_and_cost_are_counted_and_told(rig: Any) -> None:
    reply = await rig.ask(CHAT)
    assert reply.headers["x-litellm-response-cost"] == "0.02"
    meter = rig.meter
    assert (meter.input_tokens, meter.output_tokens, meter.total_tokens) == (10, 5, 15)
    assert meter.spend_usd == pytest.approx(0.02)
    assert (meter.statuses, meter.successes, meter.failures) == ({200: 1}, 1, {})


async def test_times_are_counted_as_the_upstreams_and_our_own(rig: Any) -> None:
    rig.upstream.seconds = 2.0
    reply = await rig.ask(CHAT)
    assert reply.headers["x-litellm-overhead-duration-ms"] == "250.000"
    meter = rig.meter
    assert (meter.total.total, meter.upstream.total, meter.overhead.total) == (2.25, 2.0, 0.25)
    assert meter.first_token.is_empty


async def test_speech_is_charged_by_the_character(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(price=Price(usd_per_character=Decimal("0.01"))))
    rig.upstream.script(b"\xff\xf3", b"\x00", kind=b"audio/mpeg", headers=[(b"content-length", b"3")])
    reply = await rig.ask({"model": "house", "input": "Grüße", "voice": "x"}, op.SPEECH)
    assert (reply.body, reply.length, reply.headers["content-type"]) == (b"\xff\xf3\x00", 3, "audio/mpeg")
    assert rig.meter.statuses == {200: 1}
    assert rig.meter.spend_usd == pytest.approx(0.05)
    assert reply.headers["x-litellm-response-cost"] == "0.05"


@pytest.mark.parametrize("model", ["house\n", "fake/a\r\nb", "fake/\x00", "fake/\u2028"])
async def test_a_model_with_control_characters_goes_nowhere(make_rig: Make, deployment: Make, model: str) -> None:
    rig = make_rig(deployment("fake/*", "*"))
    with pytest.raises(InvalidRequest, match="control characters") as raised:
        await rig.ask(CHAT | {"model": model})
    assert raised.value.param == "model"
    assert rig.upstream.sent == []


@pytest.mark.parametrize(("body", "param"), [(b"{", None), (b'{"model":"house"}', "messages"), (b"[]", None)])
async def test_a_body_of_the_wrong_shape_is_refused_before_anything_is_sent(
    rig: Any, body: bytes, param: str | None
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await rig.ask(body)
    assert raised.value.param == param
    assert rig.upstream.sent == []


@pytest.mark.parametrize(("stream", "first_byte"), [(False, 7.0), (True, 3.0)])
async def test_a_stream_has_its_own_timeout(make_rig: Make, deployment: Make, stream: bool, first_byte: float) -> None:
    rig = make_rig(deployment(timeout=7.0, stream_timeout=3.0))
    rig.upstream.script(status=400)
    with pytest.raises(UpstreamRejected):
        await rig.ask(CHAT | {"stream": stream})
    assert rig.sent.timeouts.first_byte == first_byte


async def test_json_is_no_answer_to_who_asked_for_a_stream(rig: Any) -> None:
    with pytest.raises(UpstreamBroken):
        await rig.ask(CHAT | {"stream": True})


async def _pieces(*pieces: bytes) -> Any:
    for piece in pieces:
        yield piece


async def test_an_upload_goes_out_with_the_upstreams_name_and_its_new_length(rig: Any) -> None:
    rig.upstream.script(b'{"text":"hello"}')
    call = rig.call(op.TRANSCRIPTION, {b"content-type": FORM_TYPE})
    with Upload(FORM_TYPE, _pieces(FORM[:90], FORM[90:]), len(FORM)) as upload:
        await rig.pipeline.serve_upload(call, upload)

    assert rig.sent.body == FORM.replace(b"house", b"up-1")
    assert rig.sent.length == len(rig.sent.body)
    assert b"content-type: multipart/form-data; boundary=b\r\n" in rig.sent.head
    assert rig.downstream.body == b'{"text":"hello"}'
    assert rig.meter.statuses == {200: 1}


async def test_an_upload_without_a_model_is_served_where_the_mode_decides(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(mode="image_generation"))
    form = FORM.replace(b'"model"', b'"prompt"')
    call = rig.call(op.IMAGE_EDIT, {b"content-type": FORM_TYPE})
    with Upload(FORM_TYPE, _pieces(form), None) as upload:
        await rig.pipeline.serve_upload(call, upload)
    inserted = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nup-1\r\n'
    assert rig.sent.body == inserted + form
    assert rig.sent.length is None

    call = rig.call(op.TRANSCRIPTION, {b"content-type": FORM_TYPE})
    with Upload(FORM_TYPE, _pieces(form), None) as upload, pytest.raises(InvalidRequest):
        await rig.pipeline.serve_upload(call, upload)


async def test_a_form_that_breaks_off_is_the_callers_fault(rig: Any) -> None:
    call = rig.call(op.TRANSCRIPTION, {b"content-type": FORM_TYPE})
    with Upload(FORM_TYPE, _pieces(FORM[:-5]), None) as upload, pytest.raises(InvalidRequest):
        await rig.pipeline.serve_upload(call, upload)
    assert (rig.meter.statuses, rig.meter.failures) == ({400: 1}, {"InvalidRequest": 1})


# Answers that are kept.


async def test_an_answer_is_given_again_without_asking(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(), serving=ServingSettings(cache=CacheSettings()))
    first = await rig.ask(CHAT)
    again = await rig.ask(CHAT)
    assert again.body == first.body
    assert len(rig.upstream.sent) == 1
    await rig.ask(CHAT | {"cache": {"no-cache": True}})
    assert len(rig.upstream.sent) == 2


async def test_the_answer_of_another_group_is_not_kept_for_this_one(groups: Make) -> None:
    rig = groups(fallbacks={"house": ("second",)}, serving=ServingSettings(cache=CacheSettings()))
    rig.upstreams["house-id"].once(ERROR, status=500)
    assert msgspec.json.decode((await rig.ask(CHAT)).body)["model"] == "second"
    assert msgspec.json.decode((await rig.ask(CHAT)).body)["model"] == "house"


# -- what a key may use -----------------------------------------------------------------------------------------------


def holder(*models: str, **aliases: str) -> Caller:
    key = Key(models=models, aliases=aliases)
    return caller_of(Family(id="d", key=key), 0.0)


async def ask_as(rig: Any, caller: Caller, body: Mapping[str, Any], **headers: str) -> Any:
    call = rig.call(headers={name.replace("_", "-").encode(): value.encode() for name, value in headers.items()})
    call.caller = caller
    await rig.pipeline.serve(call, msgspec.json.encode(body))
    return rig.downstream


@pytest.mark.requirement("access.models")
@pytest.mark.parametrize(
    ("models", "asked", "is_allowed"),
    [
        ((), "house", True),
        (("house",), "house", True),
        (("house",), "nick", True),
        (("house",), "house-id", True),
        (("house",), "other", False),
        (("house",), "fake/a", False),
        (("nick",), "nick", True),
        (("nick",), "house", False),
        (("fake/*",), "fake/a", True),
        (("fake/a",), "fake/b", False),
        (("fake/*",), "house", False),
        (("no-default-models",), "house", False),
    ],
)
async def test_a_key_gets_no_further_than_its_models(
    make_rig: Make, deployment: Make, models: tuple[str, ...], asked: str, is_allowed: bool
) -> None:
    deployments = [deployment(), deployment("other", "up-2"), deployment("fake/*", "*")]
    rig = make_rig(*deployments, routing=RoutingSettings(aliases={"nick": Alias(model="house")}))
    if is_allowed:
        assert (await ask_as(rig, holder(*models), CHAT | {"model": asked})).status == 200
        return
    with pytest.raises(ModelNotFound) as raised:
        await ask_as(rig, holder(*models), CHAT | {"model": asked})
    assert raised.value.param == "model"
    assert rig.asked == {}


@pytest.mark.requirement("access.models")
@pytest.mark.parametrize("name", ["fallbacks", "context_window_fallbacks", "content_policy_fallbacks"])
async def test_a_key_does_not_fall_back_to_what_it_may_not_use(make_rig: Make, deployment: Make, name: str) -> None:
    rig = make_rig(deployment(), deployment("other", "up-2"))
    for fallback in ("other", "nobody"):
        with pytest.raises(ModelNotFound):
            await ask_as(rig, holder("house"), CHAT | {name: [fallback]})
    assert rig.asked == {}
    assert (await ask_as(rig, holder("house", "other"), CHAT | {name: ["other"]})).status == 200


@pytest.mark.requirement("access.models")
async def test_the_model_of_a_request_that_names_none_is_asked_after_too(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(), deployment("other", "up-2"), routing=RoutingSettings(default_model="house"))
    with pytest.raises(ModelNotFound):
        await ask_as(rig, holder("other"), {"messages": MESSAGES})
    assert rig.asked == {}


async def test_a_key_calls_models_by_names_of_its_own(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(), deployment("other", "up-2"))
    reply = await ask_as(rig, holder("house", mine="house", bad="other"), CHAT | {"model": "mine"})
    assert (reply.status, rig.asked) == (200, {"house-id": 1})
    with pytest.raises(ModelNotFound):
        await ask_as(rig, holder("house", mine="house", bad="other"), CHAT | {"model": "bad"})


@pytest.mark.requirement("access.models")
async def test_an_upload_goes_no_further_than_the_models_of_its_key(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment(), deployment("other", "up-2"))
    rig.upstream.script(b'{"text":"hello"}')
    for caller, is_allowed in (
        (holder("other"), False),
        (holder("house"), True),
        (holder("other", house="other"), True),
    ):
        rig.downstream = type(rig.downstream)()
        call = rig.call(op.TRANSCRIPTION, {b"content-type": FORM_TYPE})
        call.caller = caller
        with Upload(FORM_TYPE, _pieces(FORM), len(FORM)) as upload:
            if is_allowed:
                await rig.pipeline.serve_upload(call, upload)
                continue
            with pytest.raises(ModelNotFound):
                await rig.pipeline.serve_upload(call, upload)
    assert rig.asked == {"house-id": 1, "other-id": 1}


class Servers:
    """Calls no server, and asks the model twice."""

    def __init__(self) -> None:
        self.told: list[tuple[float, bool]] = []

    async def __call__(
        self,
        call: Call,
        body: bytes,
        ask: Callable[[Call, bytes], Awaitable[None]],
        deadline: float,
        clock: Callable[[], float],
        *,
        calls_servers: bool,
    ) -> None:
        assert clock() > RECEIVED
        self.told.append((deadline, calls_servers))
        for _ in range(2):
            inner = Call(call.operation, Collector(), call.headers, b"", call.received, is_master=True)
            inner.group, inner.is_ask = call.group, True
            await ask(inner, body.replace(b"server_url", b"other"))
        call.downstream.reply(200, b"", b"{}")


WITH_SERVERS = CHAT | {"tools": [{"type": "mcp", "server_url": "gateway"}]}


async def test_a_request_that_may_name_servers_goes_to_whoever_calls_them(rig: Any) -> None:
    rig.pipeline.use_servers = servers = Servers()
    await rig.ask(WITH_SERVERS)
    await rig.ask(CHAT)
    assert servers.told == [(RECEIVED + ServingSettings().total_timeout, False)]
    assert [b"other" in sent.body for sent in rig.upstream.sent] == [True, True, False]


async def test_where_nobody_calls_servers_the_request_goes_on_as_it_is(rig: Any) -> None:
    await rig.ask(WITH_SERVERS)
    assert rig.sent.json["tools"] == WITH_SERVERS["tools"]


@pytest.mark.parametrize(("vendor", "calls"), [("openai", True), ("anthropic", False)])
async def test_it_is_told_whether_a_provider_calls_servers_itself(
    make_rig: Make, deployment: Make, vendor: str, *, calls: bool
) -> None:
    rig = make_rig(deployment(vendor=vendor))
    told: list[bool] = []

    async def note(call: Call, *_: Any, calls_servers: bool) -> None:
        told.append(calls_servers)
        call.downstream.reply(200, b"", b"{}")

    rig.pipeline.use_servers = note
    await rig.ask({"model": "house", "input": "hi", "tools": WITH_SERVERS["tools"]}, op.RESPONSES)
    await rig.ask(WITH_SERVERS)
    assert told == [calls, False]


class AskedAgents:
    """Answers for agents, and keeps what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def __call__(self, call: Call, body: bytes, shape: Any, model: str, deadline: float, clock: Any) -> None:
        assert clock() > RECEIVED
        self.asked.append((json.loads(body)["model"], shape, model, deadline))
        call.downstream.reply(200, b"", b"{}")


def from_somebody(rig: Any, operation: Any = op.CHAT) -> Call:
    call = rig.call(operation)
    call.caller = Caller(name="key:me", role="key")
    found: Call = call
    return found


@pytest.mark.requirement("a2a.chat")
async def test_a_model_that_is_an_agent_is_asked_as_one(rig: Any) -> None:
    rig.pipeline.use_agents = agents = AskedAgents()
    body = json.dumps(CHAT | {"model": "a2a/far"}).encode()
    await rig.pipeline.serve(from_somebody(rig), body)
    assert agents.asked == [("a2a/far", op.CHAT, "a2a/far", RECEIVED + ServingSettings().total_timeout)]
    messages = {"model": "a2a/far", "system": "x", "max_tokens": 1, "messages": []}
    await rig.pipeline.serve(from_somebody(rig), json.dumps(messages).encode())
    assert agents.asked[1][1] is op.MESSAGES
    assert rig.upstream.sent == []


async def test_only_clients_ask_agents_and_only_in_conversations(rig: Any) -> None:
    body = json.dumps(CHAT | {"model": "a2a/far"}).encode()
    with pytest.raises(ModelNotFound):
        await rig.pipeline.serve(from_somebody(rig), body)
    rig.pipeline.use_agents = agents = AskedAgents()
    with pytest.raises(ModelNotFound):
        await rig.pipeline.serve(rig.call(op.CHAT), body)
    with pytest.raises(ModelNotFound):
        await rig.pipeline.serve(from_somebody(rig, op.EMBEDDINGS), b'{"model":"a2a/far","input":"x"}')
    assert agents.asked == []


@pytest.mark.requirement("a2a.published-models")
async def test_a_model_that_the_operator_has_named_is_no_alias_of_the_caller_and_no_agent(rig: Any) -> None:
    rig.pipeline.use_agents = agents = AskedAgents()
    call = from_somebody(rig)
    call.caller, call.is_operators = holder(house="a2a/far"), True
    await rig.pipeline.serve(call, json.dumps(CHAT).encode())
    with pytest.raises(ModelNotFound):
        await rig.pipeline.serve(call, json.dumps(CHAT | {"model": "a2a/far"}).encode())
    assert (rig.asked, agents.asked) == ({"house-id": 1}, [])


async def test_a_model_of_the_config_goes_before_an_agent_of_its_name(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(deployment("a2a/far"))
    rig.pipeline.use_agents = agents = AskedAgents()
    await rig.pipeline.serve(from_somebody(rig), json.dumps(CHAT | {"model": "a2a/far"}).encode())
    assert (len(rig.upstream.sent), agents.asked) == (1, [])


async def test_whether_a_caller_may_have_a_model_asked_can_be_looked_at_without_asking(
    make_rig: Make, deployment: Make
) -> None:
    rig = make_rig(deployment(), deployment("other", id="b"))
    key = Key(account="k", models=("house",), aliases={"mine": "house"})
    caller = caller_of(Family(id="k", key=key), 0.0)
    rig.pipeline.check_model(caller, op.CHAT, "house")
    rig.pipeline.check_model(caller, op.CHAT, "mine")
    for name in ("other", "nowhere"):
        with pytest.raises(ModelNotFound):
            rig.pipeline.check_model(caller, op.CHAT, name)
    for unsaid in (None, "a\nb"):
        with pytest.raises(InvalidRequest):
            rig.pipeline.check_model(caller, op.CHAT, unsaid)
    assert rig.asked == {}
