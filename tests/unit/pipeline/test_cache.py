from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pointsman.errors import InvalidRequest, UpstreamTimeout
from pointsman.pipeline.cache import MAX_ANSWER_BYTES, OWN_BYTES, Answer, AnswerCache, ExactCache, Recorder
from pointsman.pipeline.call import Call
from pointsman.pipeline.downstream import Downstream
from pointsman.pipeline.settings import CacheSettings
from pointsman.pipeline.shared_answers import SharedAnswers
from pointsman.providers.base import Deployment, Vendor
from pointsman.wire import operations as op
from pointsman.wire.operations import Operation
from pointsman.wire.replies import Flow
from pointsman.wire.secret import Secret

JSON_LINE = b"content-type: application/json\r\n"
EVENT_LINES = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
CALL_LINES = b"x-request-id: r0\r\nx-litellm-response-cost: 0.1\r\nx-litellm-model-id: d1\r\n"
BODY = b'{"id":"c1", "model":"house", "choices":[{"index":0}]}'
EVENTS = (b'data: {"id":"c1","choices":[]}\n\n', b"data: [DONE]\n\n")
ERROR = b'data: {"error":{"message":"cut"}}\n\n'
ASKED = b'{"model":"house","messages":[]}'


class Client:
    """Keeps the reply, and what it was told."""

    def __init__(self) -> None:
        self.is_settled = False
        self.is_started = False
        self.told: list[tuple[Any, ...]] = []

    def reply(self, status: int, headers: bytes, body: bytes) -> None:
        self.is_started = True
        self.told.append(("reply", status, headers, body))

    def start(self, status: int, headers: bytes, length: int | None = None) -> None:
        self.is_started = True
        self.told.append(("start", status, headers, length))

    def write(self, piece: bytes) -> None:
        self.told.append(("write", piece))

    def finish(self) -> None:
        self.told.append(("finish",))

    def cut(self) -> None:
        self.told.append(("cut",))

    def flow_to(self, flow: Flow | None) -> None:
        self.told.append(("flow_to", flow))


class Desk:
    """A cache, and calls that are answered by script where it has nothing."""

    def __init__(self, **settings: Any) -> None:
        self.now = 1000.0
        self.answers = AnswerCache(1 << 20)
        self.settings = CacheSettings(**settings)
        self.cache = ExactCache(self.settings, self.answers, lambda: self.now)
        self.script: Callable[[Call], bool] = _answer
        self.attempts = 0
        self.client = Client()

    async def ask(  # every argument is a part of the request
        self,
        body: bytes = ASKED,
        members: dict[str, Any] | None = None,
        caching: bool | None = None,
        header: bytes | None = None,
        tenant: str = "a",
        operation: Operation = op.CHAT,
        model: str = "house",
        scope: tuple[str, ...] = (),
    ) -> bool:
        """Whether it was answered from the cache."""
        self.client = Client()
        headers = {} if header is None else {b"cache-control": header}
        call = Call(operation, self.client, headers, b"x-request-id: r2\r\n", 0.0, is_master=True, tenant=tenant)
        before = self.attempts
        await self.cache.serve(call, model, body, scope, members, caching, self._attempt(call))
        assert call.status == 200
        return self.attempts == before

    def _attempt(self, call: Call) -> Callable[[], Awaitable[bool]]:
        async def attempt() -> bool:
            self.attempts += 1
            call.status = 200
            return self.script(call)

        return attempt


def _answer(call: Call) -> bool:
    call.downstream.reply(200, JSON_LINE + CALL_LINES, BODY)
    return True


def _stream(call: Call) -> bool:
    call.downstream.start(200, EVENT_LINES + CALL_LINES)
    for event in EVENTS:
        call.downstream.write(event)
    call.downstream.finish()
    return True


@pytest.fixture
def desk() -> Desk:
    return Desk()


def answer(text: str, size: int = 0) -> Answer:
    return Answer(b"", text.encode() + b"." * size)


# -- which answers are kept, and for how long ---------------------------------------------------------------------


def test_an_answer_is_there_until_its_time_is_over() -> None:
    cache = AnswerCache(10_000)
    cache.put("k", answer("a"), 10.0, 100.0)
    assert cache.get("k", 109.9) == answer("a")
    assert cache.get("k", 110.0) is None
    assert (len(cache), cache.bytes, cache.hits, cache.misses, cache.evictions) == (0, 0, 1, 1, 0)


def test_an_answer_that_is_too_old_for_one_caller_stays_for_others() -> None:
    cache = AnswerCache(10_000)
    cache.put("k", answer("a"), 100.0, 100.0)
    assert cache.get("k", 105.1, max_age=5.0) is None
    assert cache.get("k", 105.0, max_age=5.0) == answer("a")
    assert cache.get("k", 150.0) == answer("a")


def test_the_least_recently_used_answers_go_for_new_ones() -> None:
    cache = AnswerCache(3 * (OWN_BYTES + 100))
    for key in "abc":
        cache.put(key, answer(key, 99), 10.0, 0.0)
    assert cache.bytes == 3 * (OWN_BYTES + 100)
    cache.get("a", 1.0)
    cache.put("d", answer("d", 99), 10.0, 1.0)
    assert [key for key in "abcd" if cache.get(key, 2.0)] == ["a", "c", "d"]
    assert (cache.bytes, cache.evictions) == (3 * (OWN_BYTES + 100), 1)


def test_a_later_answer_takes_the_place_of_an_earlier_one() -> None:
    cache = AnswerCache(10_000)
    cache.put("k", answer("a", 500), 10.0, 0.0)
    cache.put("k", answer("b"), 10.0, 5.0)
    assert cache.get("k", 14.0) == answer("b")
    assert (len(cache), cache.bytes) == (1, OWN_BYTES + 1)


def test_what_is_larger_than_the_cache_or_has_no_time_is_not_kept() -> None:
    cache = AnswerCache(OWN_BYTES + 1)
    cache.put("small", answer("a"), 10.0, 0.0)
    cache.put("large", answer("ab"), 10.0, 0.0)
    cache.put("brief", answer("a"), 0.0, 0.0)
    assert cache.get("small", 1.0) == answer("a")
    assert cache.get("large", 1.0) is None
    assert cache.get("brief", 0.0) is None
    assert cache.evictions == 0


# -- what is recorded ---------------------------------------------------------------------------------------------


def test_a_recorder_passes_everything_on_as_it_is() -> None:
    client, plain = Client(), Client()
    flow: Any = object()
    sinks: tuple[Downstream, ...] = (Recorder(client), plain)
    for sink in sinks:
        assert not sink.is_started
        sink.start(200, EVENT_LINES + CALL_LINES, 7)
        sink.flow_to(flow)
        sink.write(b"a")
        sink.finish()
        sink.cut()
        sink.reply(500, b"x: y\r\n", b"b")
        assert sink.is_started
    assert client.told == plain.told


def test_a_recorders_outcome_is_that_of_its_downstream() -> None:
    client = Client()
    recorder = Recorder(client)
    assert recorder.is_settled is client.is_settled is False
    recorder.is_settled = True
    assert client.is_settled is True


def test_a_whole_reply_is_kept_with_the_lines_that_belong_to_it() -> None:
    recorder = Recorder(Client())
    recorder.reply(200, JSON_LINE + CALL_LINES, BODY)
    assert recorder.answer() == Answer(JSON_LINE, BODY)


def test_a_stream_is_kept_as_its_bytes() -> None:
    recorder = Recorder(Client())
    recorder.start(200, EVENT_LINES + CALL_LINES)
    recorder.write(EVENTS[0])
    assert recorder.answer() is None
    recorder.write(EVENTS[1])
    recorder.finish()
    assert recorder.answer() == Answer(EVENT_LINES, b"".join(EVENTS))


@pytest.mark.requirement("cache.successes")
@pytest.mark.parametrize(
    ("status", "lines", "pieces", "end"),
    [
        (200, EVENT_LINES, (EVENTS[0],), "cut"),
        (200, EVENT_LINES, (EVENTS[0], ERROR), "finish"),
        (200, EVENT_LINES, (EVENTS[0], ERROR, EVENTS[1]), "finish"),
        (200, JSON_LINE, (b'{"error":{"message":"no"}}',), "finish"),
        (202, JSON_LINE, (BODY,), "finish"),
        (500, JSON_LINE, (BODY,), "finish"),
        (200, b"content-type: audio/mpeg\r\n", (b"ID3",), "finish"),
        (200, b"content-type: text/plain\r\n", (b"text",), "finish"),
        (200, EVENT_LINES, (b"x" * MAX_ANSWER_BYTES, b"y", b"z"), "finish"),
        (200, EVENT_LINES, (b"x" * (MAX_ANSWER_BYTES + 1),), "finish"),
    ],
)
def test_what_is_no_answer_to_keep_is_passed_on_only(
    status: int, lines: bytes, pieces: tuple[bytes, ...], end: str
) -> None:
    client = Client()
    recorder = Recorder(client)
    recorder.start(status, lines)
    for piece in pieces:
        recorder.write(piece)
    getattr(recorder, end)()
    assert client.told == [("start", status, lines, None), *(("write", piece) for piece in pieces), (end,)]
    assert recorder.answer() is None
    assert len(recorder._body) <= MAX_ANSWER_BYTES


def test_the_longest_answer_that_is_kept_has_a_mebibyte() -> None:
    recorder = Recorder(Client())
    body = b'"%b"' % (b"x" * (MAX_ANSWER_BYTES - 2))
    recorder.reply(200, JSON_LINE, body)
    assert recorder.answer() == Answer(JSON_LINE, body)


# -- how calls use it ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("cache.exact")
async def test_the_same_question_gets_the_same_bytes_and_costs_nothing(desk: Desk) -> None:
    assert not await desk.ask()
    assert desk.client.told == [("reply", 200, JSON_LINE + CALL_LINES, BODY)]
    assert await desk.ask(b' { "messages": [], "model": "house", "user": "another" } ')
    ((_, status, lines, body),) = desk.client.told
    assert (status, body) == (200, BODY)
    kind, identity, key, cost = lines.decode().splitlines()
    assert (kind, identity, cost) == (
        "content-type: application/json",
        "x-request-id: r2",
        "x-litellm-response-cost: 0",
    )
    name, value = key.split(": ")
    assert (name, len(bytes.fromhex(value))) == ("x-litellm-cache-key", 32)


@pytest.mark.requirement("cache.exact")
async def test_a_stream_comes_back_as_it_was_sent(desk: Desk) -> None:
    desk.script = _stream
    assert not await desk.ask()
    assert await desk.ask()
    ((_, status, lines, body),) = desk.client.told
    assert (status, body) == (200, b"".join(EVENTS))
    assert lines.startswith(EVENT_LINES)


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "b"},
        {"tenant": ""},
        {"operation": op.COMPLETION},
        {"model": "house-2"},
        {"body": b'{"model":"house","messages":[],"stream":true}'},
        {"members": {"namespace": "n"}},
        {"members": {"namespace": "a"}, "tenant": ""},
        {"tenant": 'a","'},
    ],
)
async def test_nobody_else_and_no_other_question_gets_an_answer(desk: Desk, other: dict[str, Any]) -> None:
    await desk.ask()
    assert not await desk.ask(**other)
    assert await desk.ask()


@pytest.mark.requirement("cache.tenants")
async def test_a_tenant_cannot_choose_its_way_into_anothers_answers() -> None:
    desk = Desk(namespace="n")
    await desk.ask(tenant="a", members={"namespace": "x"})
    for tenant in ("b", "n", "x", "a\x00x", 'a", "n", "x'):
        for namespace in ("x", "", "a", "n", 'a", "x', "../a"):
            assert not await desk.ask(tenant=tenant, members={"namespace": namespace, "no-store": True})


async def test_answers_expire_as_the_operator_or_the_caller_says() -> None:
    desk = Desk(ttl=60.0)
    await desk.ask()
    await desk.ask(members={"ttl": 10, "namespace": "brief"})
    desk.now += 10.0
    assert await desk.ask()
    assert not await desk.ask(members={"namespace": "brief"})
    desk.now += 50.0
    assert not await desk.ask()


async def test_a_caller_can_ask_for_younger_answers(desk: Desk) -> None:
    await desk.ask()
    desk.now += 30.0
    assert not await desk.ask(members={"s-maxage": 29})
    assert await desk.ask(header=b"max-age=0")
    desk.now += 1.0
    assert not await desk.ask(header=b"max-age=0")


@pytest.mark.requirement("cache.controls")
@pytest.mark.parametrize("how", [{"members": {"no-cache": True}}, {"header": b"no-cache"}])
async def test_no_cache_asks_anew_and_keeps_the_answer(desk: Desk, how: dict[str, Any]) -> None:
    await desk.ask()
    assert not await desk.ask(**how)
    desk.now += 599.0
    assert await desk.ask()
    assert (desk.answers.hits, desk.answers.misses) == (1, 1)


@pytest.mark.requirement("cache.controls")
@pytest.mark.parametrize("how", [{"members": {"no-store": True}}, {"header": b"no-store"}])
async def test_no_store_keeps_nothing_and_takes_what_is_there(desk: Desk, how: dict[str, Any]) -> None:
    assert not await desk.ask(**how)
    assert not await desk.ask(**how)
    await desk.ask()
    assert await desk.ask(**how)


async def test_caching_false_does_without(desk: Desk) -> None:
    await desk.ask()
    assert not await desk.ask(caching=False)
    assert len(desk.answers) == 1


async def test_where_it_is_opt_in_only_who_asks_for_it_gets_it() -> None:
    desk = Desk(is_opt_in=True)
    await desk.ask()
    assert len(desk.answers) == 0
    await desk.ask(members={"use-cache": True})
    assert await desk.ask(members={"use-cache": True})
    assert await desk.ask(caching=True)
    assert not await desk.ask()


async def test_only_the_operations_that_are_named_use_it() -> None:
    desk = Desk(operations=("embeddings",))
    for operation, is_kept in ((op.CHAT, False), (op.EMBEDDINGS, True)):
        await desk.ask(operation=operation)
        assert await desk.ask(operation=operation) is is_kept
    assert not await Desk().ask(operation=op.SPEECH)


@pytest.mark.parametrize(
    ("operation", "body", "is_kept"),
    [
        (op.RESPONSES, b'{"model":"house","input":"go on","conversation":"conv_1"}', False),
        (op.RESPONSES, b'{"model":"house","input":"go on","background":true}', False),
        (op.RESPONSES, b'{"model":"house","input":"the \\"background\\""}', True),
        (op.CHAT, b'{"model":"house","messages":[],"metadata":{"conversation":"1"}}', True),
    ],
)
async def test_what_means_something_else_the_next_time_is_not_kept(
    desk: Desk, operation: Operation, body: bytes, is_kept: bool
) -> None:
    await desk.ask(body, operation=operation)
    assert await desk.ask(body, operation=operation) is is_kept


async def test_an_answer_of_another_model_or_of_a_failed_call_is_not_kept(desk: Desk) -> None:
    def fall_back(call: Call) -> bool:
        _answer(call)
        return False

    def note_failure(call: Call) -> bool:
        call.failure = "UpstreamTimeout"
        return _answer(call)

    for script in (fall_back, note_failure):
        desk.script = script
        assert not await desk.ask()
    desk.script = _answer
    assert not await desk.ask()
    assert await desk.ask()


async def test_a_failure_is_raised_and_nothing_is_kept(desk: Desk) -> None:
    def fail(_call: Call) -> bool:
        raise UpstreamTimeout

    desk.script = fail
    with pytest.raises(UpstreamTimeout):
        await desk.ask()
    desk.script = _answer
    assert not await desk.ask()


async def test_a_wrong_wish_is_refused_before_anything_is_asked(desk: Desk) -> None:
    with pytest.raises(InvalidRequest):
        await desk.ask(members={"ttl": "long"})
    assert desk.attempts == 0


@pytest.mark.requirement("cache.tenants")
async def test_tags_and_all_else_that_chooses_the_answer_are_part_of_the_question() -> None:
    desk = Desk()
    assert not await desk.ask(scope=("free",))
    assert not await desk.ask(scope=("paid",))
    assert await desk.ask(scope=("free",))


# -- where answers are shared -------------------------------------------------------------------------------------


class Shelf:
    """A store that others share; it can be away."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.is_away = False

    async def get(self, key: str) -> bytes | None:
        return None if self.is_away else self.kept.get(key)

    def put(self, key: str, value: bytes, seconds: float) -> None:
        assert seconds == 600.0
        if not self.is_away:
            self.kept[key] = value


def sharing(shelf: Shelf) -> Desk:
    desk = Desk()
    desk.cache = ExactCache(desk.settings, SharedAnswers(shelf), lambda: desk.now)
    return desk


@pytest.mark.requirement("cache.redis")
async def test_another_process_gives_the_same_bytes_to_the_same_caller_only() -> None:
    shelf = Shelf()
    one, other = sharing(shelf), sharing(shelf)
    one.script = _stream
    assert not await one.ask()
    assert await other.ask()
    ((_, status, lines, body),) = other.client.told
    assert (status, body) == (200, b"".join(EVENTS))
    assert lines.startswith(EVENT_LINES)
    assert not await other.ask(tenant="b")
    assert not await other.ask(members={"no-cache": True})
    other.now += 30.0
    assert not await one.ask(tenant="c", members={"no-store": True})
    assert not await other.ask(tenant="c")


@pytest.mark.requirement("cache.redis-faults")
async def test_without_the_shared_store_it_is_asked_anew() -> None:
    shelf = Shelf()
    desk = sharing(shelf)
    await desk.ask()
    shelf.is_away = True
    assert not await desk.ask()
    shelf.is_away = False
    assert await desk.ask()


def deployment(**changed: Any) -> Deployment:
    plain: dict[str, Any] = {"id": "d1", "model_name": "house", "vendor": Vendor(name="openai"), "upstream_model": "m"}
    return Deployment(**(plain | {"base_url": "http://h", "lacks": frozenset({"tools", "images", "json"})} | changed))


def test_in_memory_an_edition_is_the_number_of_a_change(desk: Desk) -> None:
    assert desk.cache.edition(3, [deployment()]) == "3"


def test_processes_that_share_go_by_what_the_deployments_are() -> None:
    first = sharing(Shelf()).cache.edition(3, [deployment(credential=Secret("sk-one"))])
    assert sharing(Shelf()).cache.edition(4, [deployment(credential=Secret("sk-other"))]) == first
    first = sharing(Shelf()).cache.edition(4, [deployment()])
    others: list[dict[str, Any]] = [{"upstream_model": "n"}, {"base_url": "http://i"}, {"overrides": {"seed": 1}}]
    for changed in others:
        assert sharing(Shelf()).cache.edition(3, [deployment(**changed)]) != first
    cache = sharing(Shelf()).cache
    assert cache.edition(0, [deployment(), deployment(id="d2")]) != cache.edition(0, [deployment()]) == first
    assert cache.edition(0, [deployment()]) == first
