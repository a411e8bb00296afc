"""Providers that LiteLLM knows and we do not, as upstreams inside this process.

A deployment of such a provider has a :class:`Litellm`, which takes requests on the OpenAI wire and answers on it.
Behind all of them is one :class:`Worker`: a thread with an event loop of its own, in which LiteLLM is imported when
the first request needs it, and called. It is slow, and what it does between two awaits would hold up everybody.

1. Only ``VERSIONS`` are imported: others have carried a stealer of credentials, which ran on import.
2. Pieces of an answer come over one by one, at most ``WINDOW`` of a call on their way; more when they were taken.
3. Deadlines are kept on the gateway's side, so that they hold while LiteLLM holds up its own loop.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from importlib import metadata
from typing import Any, Final

from pointsman.errors import GatewayError, Overloaded, UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.response import Headers, Response
from pointsman.upstream.settings import Timeouts
from pointsman.wire.litellm import FUNCTIONS, Refusal, error_body, failure_of
from pointsman.wire.secret import revealed

BASE_URL: Final = "litellm:"
"""What deployments have for an address."""
VERSIONS: Final = ("1.106.2",)
"""Releases that were looked at; ``requirements/litellm.txt`` has their hashes."""
INSTALL: Final = "pip install 'pointsman[litellm]'"
MAX_CALLS: Final = 100
"""Calls that LiteLLM works on at a time."""
MAX_WAITING: Final = 400
"""Calls that wait for one of those to end; one more is refused."""
WINDOW: Final = 16

_ALWAYS: Final[Mapping[str, Mapping[str, Any]]] = {"acompletion": {"_skip_mcp_handler": True}}
"""What a function is given besides: LiteLLM's own gateway to tools is not ours."""
_ENVIRONMENT: Final = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it is downloaded on import
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",  # the same
    "LITELLM_MODE": "PRODUCTION",  # else a .env of the working directory is read into the environment
}
_SETTINGS: Final = {
    "suppress_debug_info": True,  # which is printed
    "drop_params": False,
    "user_url_validation": True,  # of images that it fetches for a provider
    "disable_hf_tokenizer_download": True,
}
_log = logging.getLogger("pointsman.litellm")
_LOGGERS: Final = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")
_JSON: Final[Headers] = [(b"content-type", b"application/json")]
_EVENTS: Final[Headers] = [(b"content-type", b"text/event-stream")]


def problem() -> str | None:
    """Why LiteLLM cannot be used, for the operator; ``None``: it can. Nothing of it is imported for that."""
    try:
        found = metadata.version("litellm")
    except metadata.PackageNotFoundError:
        return "it is not installed"
    if found in VERSIONS:
        return None
    return f"LiteLLM {found} is installed, where only {' or '.join(VERSIONS)} is used"


class Litellm:
    """The upstream of one deployment.

    ``provider`` is LiteLLM's name of it. ``arguments`` go to LiteLLM with each call, whatever the caller says; a text
    in them may be a :class:`~pointsman.wire.secret.Secret`. ``allowed`` are body fields that are passed on besides
    those of the operation; with ``drops`` others are left out, and not refused.
    """

    host_header = b"litellm"

    def __init__(
        self,
        worker: Worker,
        provider: str,
        arguments: Mapping[str, Any],
        *,
        allowed: tuple[str, ...] = (),
        drops: bool = False,
    ) -> None:
        self._worker = worker
        self._provider = provider
        self._arguments = revealed({"max_retries": 0, "drop_params": drops, **arguments})
        if allowed:
            self._arguments["allowed_openai_params"] = list(allowed)
        self._allowed = frozenset(allowed)
        self._drops = drops

    async def send(
        self,
        head: bytes,
        body: bytes | AsyncIterator[bytes],
        *,
        length: int | None = None,  # noqa: ARG002  the body says itself how long it is
        timeouts: Timeouts,
        deadline: float | None = None,
    ) -> Response:
        """Call LiteLLM; see :meth:`~pointsman.upstream.base.Upstream.send`.

        An operation that it is not used for gets a 404. Raises :class:`~pointsman.errors.InvalidRequest` too.
        """
        function = FUNCTIONS.get(head.split(b" ", 2)[1])
        if function is None or not isinstance(body, bytes):
            return _answer(404, _JSON, error_body("This provider has no such operation", code="unsupported_operation"))
        asked = function.arguments(body, allowed=self._allowed, drops=self._drops)
        arguments = {
            **asked,
            "model": f"{self._provider}/{asked['model']}",
            **_ALWAYS.get(function.name, {}),
            **self._arguments,
            "timeout": timeouts.first_byte,
        }
        until = asyncio.get_running_loop().time() + timeouts.total
        if deadline is not None:
            until = min(until, deadline)
        return await self._worker.call(function.name, arguments, timeouts, until)


class Worker:
    """The thread in which LiteLLM runs. It begins with the first call.

    ``verify`` is about the certificates of providers: whether they are checked, or the file to check them by.
    """

    def __init__(self, sweeper: Sweeper, verify: bool | str = True) -> None:
        self._sweeper = sweeper
        self._verify = verify
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closing = asyncio.Event()
        self._slots = asyncio.Semaphore(MAX_CALLS)
        self._library: Any = None
        self._calls: set[_Call] = set()
        self._is_closed = False

    async def call(self, function: str, arguments: dict[str, Any], timeouts: Timeouts, until: float) -> Response:
        """Call one of LiteLLM's functions; ``until`` is when everything must be over, in ``loop.time()``.

        Raises what :meth:`Litellm.send` raises.
        """
        if self._is_closed or len(self._calls) >= MAX_CALLS + MAX_WAITING:
            raise Overloaded(retry_after=1.0)
        loop = self._started()
        call = _Call(self._sweeper, loop, timeouts, until, self._calls)
        call.job = asyncio.run_coroutine_threadsafe(self._perform(call, function, arguments), loop)
        try:
            return await call.head
        except asyncio.CancelledError:
            call.abort()
            raise

    async def close(self, patience: float) -> None:
        """Fail the calls that run, and wait at most ``patience`` seconds for the thread."""
        self._is_closed = True
        for call in tuple(self._calls):
            call.fail(UpstreamBroken(operator_detail="the gateway is closing"))
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._closing.set)
            await asyncio.to_thread(self._thread.join, patience)

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            # A call that blocks must not keep the process from ending.
            self._thread = threading.Thread(target=self._run, args=(self._loop,), name="litellm", daemon=True)
            self._thread.start()
        return self._loop

    # In the thread.

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            loop.set_exception_handler(_note)
            runner.run(self._wait())

    async def _wait(self) -> None:
        await self._closing.wait()

    async def _perform(self, call: _Call, function: str, arguments: dict[str, Any]) -> None:
        try:
            async with self._slots:
                if self._library is None:
                    self._library = _load(self._verify)
                answer = await getattr(self._library, function)(**arguments)
                if hasattr(answer, "__aiter__"):
                    await _relay(answer, call)
                    call.tell(call.finish)
                else:
                    call.tell(call.answer, 200, _JSON, answer.model_dump_json(warnings=False).encode())
        except Exception as error:  # noqa: BLE001  it can raise anything, and this is where its call ends
            call.tell(call.lack, failure_of(error))


class _Call:
    """One call, between the loops: the producer of its answer on the gateway's, ``send`` and ``tell`` on LiteLLM's."""

    def __init__(
        self,
        sweeper: Sweeper,
        worker: asyncio.AbstractEventLoop,
        timeouts: Timeouts,
        until: float,
        calls: set[_Call],
    ) -> None:
        self.head: asyncio.Future[Response] = sweeper.loop.create_future()
        self.job: Future[None] | None = None
        self._sweeper = sweeper
        self._loop = sweeper.loop
        self._worker = worker
        self._idle = timeouts.idle
        self._allowance = timeouts.first_byte
        self._until = until
        self._calls = calls
        self._progress = sweeper.now
        self._response: Response | None = None
        self._is_paused = False
        self._taken = 0
        self._window = asyncio.Semaphore(WINDOW)
        calls.add(self)
        sweeper.add(self)

    # For the worker.

    def tell(self, step: Callable[..., None], *arguments: Any) -> None:
        """Have a step done on the gateway's loop, after those before it."""
        self._loop.call_soon_threadsafe(step, *arguments)

    async def send(self, data: bytes) -> None:
        """Have a piece fed, as soon as few enough are on their way."""
        await self._window.acquire()
        self.tell(self.feed, data)

    # On the gateway's loop, for the worker.

    def begin(self) -> None:
        """Take the head of a streamed answer."""
        if self in self._calls:
            self._allowance = self._idle
            self._progress = self._sweeper.now
            self._response = Response(200, _EVENTS, self)
            self._resolve(self._response)

    def feed(self, data: bytes) -> None:
        """Take a piece of it."""
        if self in self._calls and self._response is not None:
            self._progress = self._sweeper.now
            self._taken += 1
            self._response.feed(data)
            self._acknowledge()

    def finish(self) -> None:
        """Take its end."""
        response = self._response
        if self._end() and response is not None:
            response.finish()

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Take a whole answer."""
        if self._end():
            self._resolve(_answer(status, headers, body))

    def lack(self, failure: GatewayError | Refusal) -> None:
        """Take what came instead of it, or of the rest."""
        if not isinstance(failure, Refusal):
            self.fail(failure)
        elif self._response is None:
            wait = failure.retry_after
            headers = _JSON if wait is None else [*_JSON, (b"retry-after", wait.encode("latin-1", "replace"))]
            self.answer(failure.status, headers, failure.body)
        else:
            self._response.feed(b"data: %b\n\n" % failure.body)
            self.finish()

    def fail(self, error: GatewayError) -> None:
        """Take why there is no more of it."""
        response = self._response
        if not self._end():
            return
        if response is not None:
            response.fail(error)
        elif not self.head.done():
            self.head.set_exception(error)

    # Producer of the response.

    def pause_reading(self) -> None:
        """Take note of no more pieces, so that soon none is sent."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """Go on; the time of the pause does not count as the provider's."""
        self._is_paused = False
        self._progress = self._sweeper.now
        self._acknowledge()

    def abort(self) -> None:
        """Cancel the call."""
        self._end()

    def sweep(self, now: float) -> None:
        """Give up what is overdue."""
        margin = self._sweeper.tick
        if now > self._until + margin:
            self.fail(UpstreamTimeout(operator_detail="litellm: the whole answer took longer than allowed"))
        elif self._is_paused:
            self._progress = now
        elif now - self._progress > self._allowance + margin:
            what = "no answer in time" if self._response is None else "the answer stopped for longer than allowed"
            self.fail(UpstreamTimeout(operator_detail=f"litellm: {what}"))

    # Inside.

    def _end(self) -> bool:
        """Leave; gives whether the call was there."""
        if self not in self._calls:
            return False
        self._calls.discard(self)
        self._sweeper.discard(self)
        self._response = None
        if self.job is not None:
            self.job.cancel()
        return True

    def _resolve(self, response: Response) -> None:
        # A cancelled head's task is about to call ``abort``.
        if not self.head.done():
            self.head.set_result(response)

    def _acknowledge(self) -> None:
        if self._taken and not self._is_paused and self in self._calls:
            taken, self._taken = self._taken, 0
            self._worker.call_soon_threadsafe(self._widen, taken)

    def _widen(self, taken: int) -> None:
        for _ in range(taken):
            self._window.release()


class _Nobody:
    """The producer of an answer that is whole."""

    def pause_reading(self) -> None:
        """Nothing comes."""

    def resume_reading(self) -> None:
        """Nothing comes."""

    def abort(self) -> None:
        """Nothing comes."""


def _note(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """LiteLLM leaves connections and tasks behind, about which nobody can do anything."""
    _log.debug("%s", context["message"])


def _load(verify: bool | str) -> Any:
    """Import LiteLLM, and set it up; it takes seconds."""
    wrong = problem()
    if wrong is not None:
        raise UpstreamUnreachable(operator_detail=f"the litellm extra is needed, and {wrong}: {INSTALL}")
    os.environ.update(_ENVIRONMENT)
    library = importlib.import_module("litellm")
    for name, value in {**_SETTINGS, "ssl_verify": verify}.items():
        setattr(library, name, value)
    # What goes wrong is raised; its log lines may hold prompts.
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.CRITICAL)
    return library


async def _relay(answer: Any, call: _Call) -> None:
    call.tell(call.begin)
    try:
        async for chunk in answer:
            text = chunk.model_dump_json(exclude_none=True, warnings=False)
            await call.send(b"data: %b\n\n" % text.encode())
        await call.send(b"data: [DONE]\n\n")
    finally:
        # Also when nobody wants the rest: the provider is to know. A stream of a completion holds one of a chat.
        await (answer if hasattr(answer, "aclose") else answer.completion_stream).aclose()


def _answer(status: int, headers: Headers, body: bytes) -> Response:
    response = Response(status, headers, _Nobody())
    response.feed(body)
    response.finish()
    return response
