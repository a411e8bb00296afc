from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from importlib import metadata
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, Self

import pytest

from pointsman.errors import (
    GatewayError,
    Inexpressible,
    Overloaded,
    UpstreamBroken,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from pointsman.upstream import litellm
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.litellm import INSTALL, VERSIONS, WINDOW, Litellm, Worker, problem
from pointsman.upstream.response import HELD_BYTES, Response
from pointsman.upstream.settings import Timeouts
from pointsman.wire.secret import Secret

ROOT = Path(__file__).parents[3]
PATIENCE = 10.0
TIMEOUTS = Timeouts(first_byte=3.0, idle=2.0, total=9.0)


class Piece:
    """An answer, or a part of one, as a model of pydantic's."""

    def __init__(self, **members: Any) -> None:
        self._members = members

    def model_dump_json(self, *, exclude_none: bool = False, warnings: bool = True) -> str:
        assert not warnings
        return json.dumps({key: value for key, value in self._members.items() if value is not None or not exclude_none})


class Stream:
    """Gives pieces, and an error at the end if there is one; with ``hangs`` nothing more."""

    def __init__(self, pieces: int, error: Exception | None = None, *, text: str = "x", hangs: bool = False) -> None:
        self.given = 0
        self.closed = threading.Event()
        self._pieces = pieces
        self._error = error
        self._text = text
        self._hangs = hangs

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Piece:
        if self.given == self._pieces:
            if self._hangs:
                await asyncio.Event().wait()
            raise self._error or StopAsyncIteration
        self.given += 1
        return Piece(n=self.given, text=self._text, nothing=None)

    async def aclose(self) -> None:
        self.closed.set()


class CompletionStream:
    """As LiteLLM wraps one of a chat."""

    def __init__(self, stream: Stream) -> None:
        self.completion_stream = stream

    def __aiter__(self) -> Stream:
        return self.completion_stream


class Refused(Exception):
    status_code = 429
    message = "litellm.RateLimitError: Slow down"
    litellm_response_headers: Mapping[str, str] = MappingProxyType({"retry-after": "7"})


class Library:
    """Answers each function of LiteLLM's with what it was told to, or with what a function of its arguments gives."""

    def __init__(self) -> None:
        self.answer: Any = Piece(object="it")
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.threads: set[str] = set()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not name.startswith("a"):
            raise AttributeError(name)

        async def function(**arguments: Any) -> Any:
            self.calls.append((name, arguments))
            self.threads.add(threading.current_thread().name)
            answer = self.answer
            if isinstance(answer, Exception):
                raise answer
            return await answer() if asyncio.iscoroutinefunction(answer) else answer

        return function


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    for name in ("LITELLM_LOCAL_MODEL_COST_MAP", "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS", "LITELLM_MODE"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(metadata, "version", lambda _name: VERSIONS[0])
    stub = Library()
    monkeypatch.setitem(sys.modules, "litellm", stub)
    return stub


@pytest.fixture
async def sweeper() -> Sweeper:
    return Sweeper(asyncio.get_running_loop())


@pytest.fixture
async def worker(sweeper: Sweeper) -> AsyncIterator[Worker]:
    worker = Worker(sweeper)
    yield worker
    await worker.close(PATIENCE)


@pytest.fixture
def upstream(worker: Worker, library: Library) -> Litellm:
    return Litellm(worker, "replicate", {"api_key": Secret("sk-up"), "api_base": "http://gpu"})


async def ask(upstream: Litellm, path: str = "/chat/completions", **body: Any) -> Response:
    text = json.dumps({"model": "m", **body}).encode()
    async with asyncio.timeout(PATIENCE):
        return await upstream.send(b"POST %b HTTP/1.1\r\n" % path.encode(), text, timeouts=TIMEOUTS)


async def turn(worker: Worker) -> None:
    """Wait until LiteLLM's thread has done what was asked of it before, as far as that needs no waiting."""
    assert worker._loop is not None
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asyncio.sleep(0), worker._loop))


def sweep(sweeper: Sweeper, worker: Worker, seconds: float) -> None:
    """Let the calls look at the clock, ``seconds`` after they began."""
    for call in tuple(worker._calls):
        call.sweep(sweeper.now + seconds)


@pytest.mark.requirement("litellm.wire")
@pytest.mark.parametrize(
    ("path", "function", "body"),
    [
        ("/chat/completions", "acompletion", {"messages": []}),
        ("/completions", "atext_completion", {"prompt": "a"}),
        ("/embeddings", "aembedding", {"input": "a"}),
        ("/images/generations", "aimage_generation", {"prompt": "a"}),
    ],
)
async def test_an_operation_is_a_call_of_litellm_and_its_answer_is_json(
    upstream: Litellm, library: Library, path: str, function: str, body: dict[str, Any]
) -> None:
    response = await ask(upstream, path, **body)
    assert response.whole(b"application/json") == b'{"object": "it"}'
    (called,) = library.calls
    more = {"_skip_mcp_handler": True} if function == "acompletion" else {}
    fixed = {"max_retries": 0, "drop_params": False, "api_key": "sk-up", "api_base": "http://gpu", "timeout": 3.0}
    assert called == (function, {"model": "replicate/m", **body, **fixed, **more})


async def test_what_the_operator_allows_is_passed_on_and_told_to_litellm(worker: Worker, library: Library) -> None:
    upstream = Litellm(worker, "p", {}, allowed=("top_a",), drops=True)
    await ask(upstream, messages=[], top_a=1, api_base="http://evil")
    ((_, called),) = library.calls
    assert called["top_a"] == 1
    assert called["allowed_openai_params"] == ["top_a"]
    assert called["drop_params"]
    assert "api_base" not in called


@pytest.mark.requirement("litellm.body")
async def test_what_would_steer_litellm_is_refused_before_it_is_called(upstream: Litellm, library: Library) -> None:
    with pytest.raises(Inexpressible):
        await ask(upstream, messages=[], api_base="http://evil")
    assert library.calls == []


@pytest.mark.requirement("litellm.wire")
@pytest.mark.parametrize("wrap", [lambda stream: stream, CompletionStream])
async def test_a_stream_is_events_and_ends_with_done(
    upstream: Litellm, library: Library, wrap: Callable[[Stream], Any]
) -> None:
    stream = Stream(2)
    library.answer = wrap(stream)
    response = await ask(upstream, messages=[], stream=True)
    assert response.headers == [(b"content-type", b"text/event-stream")]
    assert await response.read(1000) == (
        b'data: {"n": 1, "text": "x"}\n\ndata: {"n": 2, "text": "x"}\n\ndata: [DONE]\n\n'
    )
    assert stream.closed.is_set()


async def test_a_long_stream_comes_whole_and_in_order(upstream: Litellm, library: Library) -> None:
    library.answer = Stream(20 * WINDOW)
    got: list[bytes] = []
    response = await ask(upstream, messages=[], stream=True)
    async with asyncio.timeout(PATIENCE):
        await response.relay(got.append)
    numbers = [json.loads(piece[6:])["n"] for piece in got[:-1]]
    assert numbers == list(range(1, 20 * WINDOW + 1))


async def test_a_consumer_that_pauses_holds_litellm_back(upstream: Litellm, library: Library) -> None:
    stream = library.answer = Stream(10 * WINDOW)
    response = await ask(upstream, messages=[], stream=True)
    got: list[bytes] = []

    def sink(data: bytes) -> None:
        got.append(data)
        response.pause()

    relay = response.relay(sink)
    early = len(got)
    async with asyncio.timeout(PATIENCE):
        while len(got) < early + WINDOW:
            await asyncio.sleep(0)
        await turn(upstream._worker)
        assert stream.given <= early + WINDOW + 1
        assert len(got) == early + WINDOW
        while not relay.done():
            response.resume()
            await asyncio.sleep(0)
    assert len(got) == 10 * WINDOW + 1


async def test_an_answer_that_nobody_reads_is_held_back_too(upstream: Litellm, library: Library) -> None:
    library.answer = Stream(3 * WINDOW, text="x" * HELD_BYTES)
    response = await ask(upstream, messages=[], stream=True)
    async with asyncio.timeout(PATIENCE):
        whole = await response.read(4 * WINDOW * HELD_BYTES)
    assert whole.count(b"data: ") == 3 * WINDOW + 1


@pytest.mark.requirement("litellm.errors")
async def test_an_error_of_the_provider_is_its_answer(upstream: Litellm, library: Library) -> None:
    library.answer = Refused()
    response = await ask(upstream, messages=[])
    assert response.status == 429
    assert response.header(b"retry-after") == b"7"
    assert json.loads(await response.read(1000))["error"]["message"] == "Slow down"


@pytest.mark.requirement("litellm.errors")
async def test_an_error_in_a_stream_is_its_last_event(upstream: Litellm, library: Library) -> None:
    library.answer = Stream(1, Refused())
    response = await ask(upstream, messages=[], stream=True)
    *_, last, empty = (await response.read(1000)).split(b"\n\n")
    assert empty == b""
    assert json.loads(last[6:])["error"]["code"] == "429"


@pytest.mark.requirement("litellm.errors")
async def test_an_error_that_is_no_answer_breaks_the_call(upstream: Litellm, library: Library) -> None:
    library.answer = KeyError("secret")
    with pytest.raises(UpstreamBroken) as caught:
        await ask(upstream, messages=[])
    assert "secret" not in caught.value.message
    library.answer = Stream(1, KeyError("secret"))
    response = await ask(upstream, messages=[], stream=True)
    with pytest.raises(UpstreamBroken):
        await response.read(1000)


@pytest.mark.requirement("litellm.cancel")
@pytest.mark.parametrize("how", ["abort", "cancel"])
async def test_who_leaves_a_stream_ends_it_at_the_provider(
    upstream: Litellm, library: Library, worker: Worker, how: str
) -> None:
    stream = library.answer = Stream(1, hangs=True)
    response = await ask(upstream, messages=[], stream=True)
    first = asyncio.Event()
    relay = response.relay(lambda _data: first.set())
    async with asyncio.timeout(PATIENCE):
        await first.wait()
    if how == "abort":
        response.abort()
        with pytest.raises(UpstreamBroken):
            await relay
    else:
        relay.cancel()
    assert await asyncio.to_thread(stream.closed.wait, PATIENCE)
    assert not worker._calls


@pytest.mark.requirement("litellm.cancel")
async def test_who_leaves_before_the_answer_cancels_the_call(
    upstream: Litellm, library: Library, worker: Worker
) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def hang() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    library.answer = hang
    asking = asyncio.create_task(ask(upstream, messages=[]))
    assert await asyncio.to_thread(begun.wait, PATIENCE)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await asyncio.to_thread(cancelled.wait, PATIENCE)
    assert not worker._calls


@pytest.mark.requirement("litellm.loop")
async def test_litellm_that_blocks_holds_up_neither_the_gateway_nor_its_deadlines(
    upstream: Litellm, library: Library, worker: Worker, sweeper: Sweeper
) -> None:
    begun, leave = threading.Event(), threading.Event()

    async def block() -> Piece:
        begun.set()
        leave.wait(PATIENCE)
        return Piece()

    library.answer = block
    asking = asyncio.create_task(ask(upstream, messages=[]))
    assert await asyncio.to_thread(begun.wait, PATIENCE)
    sweep(sweeper, worker, TIMEOUTS.first_byte)
    assert not asking.done()
    sweep(sweeper, worker, TIMEOUTS.first_byte + 1)
    with pytest.raises(UpstreamTimeout):
        await asking
    leave.set()
    assert library.threads == {"litellm"}


async def test_a_stream_that_stops_and_one_that_is_too_long_are_given_up(
    upstream: Litellm, library: Library, worker: Worker, sweeper: Sweeper
) -> None:
    for seconds in (TIMEOUTS.idle + 1, TIMEOUTS.total + 1):
        library.answer = Stream(1, hangs=True)
        response = await ask(upstream, messages=[], stream=True)
        first = asyncio.Event()
        relay = response.relay(lambda _data, first=first: first.set())  # type: ignore[misc]
        async with asyncio.timeout(PATIENCE):
            await first.wait()
        if seconds > TIMEOUTS.total:
            response.pause()
        sweep(sweeper, worker, TIMEOUTS.idle)
        assert not relay.done()
        sweep(sweeper, worker, seconds)
        with pytest.raises(UpstreamTimeout):
            async with asyncio.timeout(PATIENCE):
                await relay


async def test_a_pause_is_not_the_providers(
    upstream: Litellm, library: Library, worker: Worker, sweeper: Sweeper
) -> None:
    library.answer = Stream(1, hangs=True)
    response = await ask(upstream, messages=[], stream=True)
    paused = asyncio.Event()

    def sink(_data: bytes) -> None:
        response.pause()
        paused.set()

    relay = response.relay(sink)
    async with asyncio.timeout(PATIENCE):
        await paused.wait()
    sweep(sweeper, worker, TIMEOUTS.idle + 1)
    sweeper.now += 2 * TIMEOUTS.idle
    response.resume()
    sweep(sweeper, worker, TIMEOUTS.idle)
    assert not relay.done()
    relay.cancel()


async def test_calls_beyond_those_that_may_wait_are_refused(
    upstream: Litellm, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litellm, "MAX_CALLS", 1)
    monkeypatch.setattr(litellm, "MAX_WAITING", 0)
    library.answer = Stream(1, hangs=True)
    response = await ask(upstream, messages=[], stream=True)
    with pytest.raises(Overloaded):
        await ask(upstream, messages=[])
    response.abort()
    library.answer = Piece()
    assert (await ask(upstream, messages=[])).status == 200


async def test_only_so_many_calls_run_at_a_time(sweeper: Sweeper, library: Library) -> None:
    worker = Worker(sweeper)
    worker._slots = asyncio.Semaphore(1)
    upstream = Litellm(worker, "p", {})
    library.answer = Stream(1, hangs=True)
    first = await ask(upstream, messages=[], stream=True)
    library.answer = Piece()
    second = asyncio.create_task(ask(upstream, messages=[]))
    await asyncio.sleep(0)
    await turn(worker)
    assert len(library.calls) == 1
    first.abort()
    assert (await second).status == 200
    await worker.close(PATIENCE)


async def test_closing_fails_what_runs_and_takes_nothing_more(sweeper: Sweeper, library: Library) -> None:
    worker = Worker(sweeper)
    upstream = Litellm(worker, "p", {})
    stream = library.answer = Stream(1, hangs=True)
    response = await ask(upstream, messages=[], stream=True)
    await worker.close(PATIENCE)
    with pytest.raises(UpstreamBroken):
        await response.read(1000)
    assert stream.closed.is_set()
    assert worker._thread is not None
    assert not worker._thread.is_alive()
    with pytest.raises(Overloaded):
        await ask(upstream, messages=[])


async def test_without_calls_there_is_no_thread(sweeper: Sweeper) -> None:
    worker = Worker(sweeper)
    await worker.close(PATIENCE)
    assert worker._thread is None


async def test_what_litellm_leaves_behind_is_no_error_of_ours(
    upstream: Litellm, library: Library, caplog: pytest.LogCaptureFixture
) -> None:
    async def leave() -> Piece:
        asyncio.get_running_loop().call_exception_handler({"message": "Unclosed client session"})
        return Piece()

    library.answer = leave
    await ask(upstream, messages=[])
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


@pytest.mark.parametrize("head", [b"GET /models HTTP/1.1\r\n", b"POST /audio/speech HTTP/1.1\r\n"])
async def test_other_operations_are_not_there(upstream: Litellm, library: Library, head: bytes) -> None:
    response = await upstream.send(head, b"{}", timeouts=TIMEOUTS)
    assert response.status == 404
    assert json.loads(await response.read(1000))["error"]["code"] == "unsupported_operation"
    assert library.calls == []


async def test_the_deadline_of_the_caller_counts_when_it_is_earlier(
    upstream: Litellm, library: Library, worker: Worker, sweeper: Sweeper
) -> None:
    library.answer = Stream(1, hangs=True)
    until = sweeper.loop.time() + 0.5
    body = b'{"model":"m","messages":[],"stream":true}'
    head = b"POST /chat/completions HTTP/1.1\r\n"
    response = await upstream.send(head, body, timeouts=TIMEOUTS, deadline=until)
    for call in tuple(worker._calls):
        call.sweep(until + 2 * sweeper.tick)
    with pytest.raises(UpstreamTimeout):
        async with asyncio.timeout(PATIENCE):
            await response.read(1000)


@pytest.mark.requirement("litellm.versions")
@pytest.mark.parametrize("version", ["1.82.7", "1.82.8", "9.9.9"])
async def test_another_version_is_never_imported(
    upstream: Litellm, library: Library, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(metadata, "version", lambda _name: version)
    monkeypatch.delitem(sys.modules, "litellm")
    with pytest.raises(UpstreamUnreachable) as caught:
        await ask(upstream, messages=[])
    assert caught.value.operator_detail is not None
    assert version in caught.value.operator_detail
    assert VERSIONS[0] in caught.value.operator_detail
    assert INSTALL in caught.value.operator_detail


@pytest.mark.requirement("litellm.versions")
def test_the_versions_are_those_of_the_extra_and_its_lock() -> None:
    (version,) = VERSIONS
    assert f'litellm = ["litellm=={version}"]' in (ROOT / "pyproject.toml").read_text()
    lock = (ROOT / "requirements" / "litellm.txt").read_text()
    assert re.findall(r"^litellm==(\S+)", lock, re.MULTILINE) == [version]


def test_a_problem_says_what_is_there_and_what_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda _name: VERSIONS[0])
    assert problem() is None
    monkeypatch.setattr(metadata, "version", lambda _name: "1.82.8")
    assert problem() == f"LiteLLM 1.82.8 is installed, where only {VERSIONS[0]} is used"

    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    assert problem() == "it is not installed"


async def test_litellm_is_set_up_to_download_nothing_and_to_say_nothing(
    sweeper: Sweeper, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("LiteLLM")
    logger.addHandler(logging.NullHandler())
    seen = SimpleNamespace()
    monkeypatch.setattr("importlib.import_module", lambda name: seen if name == "litellm" else None)
    with pytest.raises(GatewayError):  # it has no functions
        await ask(Litellm(Worker(sweeper, verify="/etc/ca.pem"), "p", {}), messages=[])
    assert vars(seen) == {
        "suppress_debug_info": True,
        "drop_params": False,
        "user_url_validation": True,
        "disable_hf_tokenizer_download": True,
        "ssl_verify": "/etc/ca.pem",
    }
    assert os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] == "True"
    assert os.environ["LITELLM_MODE"] == "PRODUCTION"
    assert logger.handlers == []
