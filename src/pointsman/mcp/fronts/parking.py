"""Calls of modern clients that wait for what a legacy server has asked for.

A legacy server asks in the middle of a call and waits. A modern client is never asked: its request is answered with
what is wanted, and it comes again with that. So the call goes on in a task of its own and waits here in between; the
client carries a signed state that leads back to it.

::

    RUNNING ──(the server asks)──▶ PARKED ──(the client comes again)──▶ RUNNING … ──▶ over
                                      └──(it does not come in time)──▶ cancelled
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from types import NoneType
from typing import Any, Final

import msgspec
from msgspec import Raw

from pointsman.errors import GatewayError, Overloaded
from pointsman.mcp.base import Client
from pointsman.mcp.fronts.pieces import Pieces, taken
from pointsman.mcp.fronts.streams import Answering
from pointsman.mcp.protocol import revisions
from pointsman.mcp.protocol.envelopes import input_required
from pointsman.mcp.sessions import State, Tokens
from pointsman.mcp.settings import Limits
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.jsonrpc import INVALID_PARAMS, Message, RpcError, of_gateway

UNKNOWN: Final = "'requestState' is not one that this request was given, or it is too old: send the request without it"
TOO_LONG: Final = RpcError(INVALID_PARAMS, "The answers are too long to be passed from one worker to another")
VISIT_SECONDS: Final = 10.0
"""After which a process that waits for another one asks again."""
MAX_ANSWERS_BYTES: Final = 50_000
"""That are passed on to the process that waits for them."""
SAYS: Final = frozenset({"result", "error", "goes_on"})
ACTIONS: Final = ("accept", "decline", "cancel")

Outcome = Raw | RpcError | GatewayError


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """A client has come again to another process than the one in which its call waits."""

    replica: str
    call: str
    turn: int
    caller: str
    answers: Mapping[str, str]
    """As JSON."""
    is_again: bool = False
    """The answers are there; it is about what comes of them."""
    at: int = 0
    """How much of the result is there."""


async def _nobody(_visit: Visit) -> Sequence[Mapping[str, Any]]:
    return ()


class ModernAsking:
    """A request of a modern client that cannot be asked for anything."""

    def __init__(self, client: Client, answering: Answering) -> None:
        self.client = client
        self._answering: Answering | None = answering

    def tell(self, message: Message) -> None:
        """Pass it on, unless it is a log message that the client has not asked for."""
        if self._answering is not None and is_wanted(message, self.client):
            self._answering.tell(message)

    async def ask(self, method: str, params: Raw) -> Raw:
        """:raises RpcError: always, with what the client lacks"""
        raise _lacking(method, params, self.client) or RpcError(INVALID_PARAMS, "This request cannot wait for answers")


class Parked(ModernAsking):
    """A call that goes on whether or not its client is there."""

    def __init__(self, client: Client, name: str, digest: Callable[[], str]) -> None:
        self.client = client
        self.name = name
        self.digest = digest
        self.turn = 0
        self.asks: dict[str, tuple[str, Raw, asyncio.Future[Raw]]] = {}
        """What is wanted: method, parameters, and who waits for it."""
        self.task: asyncio.Task[Outcome]
        self.timer: asyncio.TimerHandle | None = None
        """Runs while it is parked."""
        self._answering = None
        self._news: asyncio.Future[None] | None = None
        self._count = 0

    async def ask(self, method: str, params: Raw) -> Raw:
        """Have the client come again with what is wanted.

        :raises RpcError: it has not said that it can do that
        """
        lacking = _lacking(method, params, self.client)
        if lacking is not None:
            raise lacking
        self._count += 1
        key = f"{method.partition('/')[0]}-{self._count}"
        waiter: asyncio.Future[Raw] = asyncio.get_running_loop().create_future()
        self.asks[key] = (method, params, waiter)
        self.stir()
        try:
            return await waiter
        finally:
            self.asks.pop(key, None)

    def rest(self) -> None:
        """Its time does not run any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def stir(self, _task: object = None) -> None:
        """Something has happened: whoever waits looks again."""
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def attend(self, answering: Answering | None) -> None:
        """Wait until there is an outcome, or something is wanted of the client.

        ``None``: what is said on the way is heard by nobody.
        """
        self._answering = answering
        try:
            while not self.task.done():
                if self.asks:
                    # What a server asks at once is told at once.
                    await asyncio.sleep(0)
                    if self.asks:
                        return
                else:
                    self._news = asyncio.get_running_loop().create_future()
                    await self._news
        finally:
            self._answering = self._news = None

    def take(self, answers: Mapping[str, Raw]) -> None:
        """Hand over what the client has brought; what nobody waits for is left.

        :raises RpcError: one is no such answer
        """
        given = [(key, answers[key]) for key in self.asks if key in answers]
        for key, answer in given:
            check_answer(self.asks[key][0], answer)
        for key, answer in given:
            waiter = self.asks.pop(key)[2]
            if not waiter.done():
                waiter.set_result(answer)


class Parking:
    """All of them."""

    def __init__(
        self,
        tokens: Tokens,
        tasks: Tasks,
        new_name: Callable[[], str],
        replica: str,
        limits: Limits,
    ) -> None:
        self._tokens = tokens
        self._tasks = tasks
        self._new_name = new_name
        self._replica = replica
        self.limits = limits
        self.ask_others: Callable[[Visit], Awaitable[Sequence[Mapping[str, Any]]]] = _nobody
        """Asks the processes that serve the same clients for what :meth:`visit` gives."""
        self._parked: dict[str, Parked] = {}
        self._visited: dict[str, Parked] = {}
        """Those that another process waits for, and does not at the moment."""
        self._pieces = Pieces()

    def __len__(self) -> int:
        return len(self._parked)

    async def run(
        self,
        client: Client,
        digest: Callable[[], str],
        answering: Answering,
        work: Callable[[Parked], Coroutine[Any, Any, Raw]],
    ) -> Raw:
        """Do ``work``; gives its result, or what the client is asked for on the way.

        ``digest`` tells the request from others, where that is asked for.

        :raises RpcError: it has failed
        :raises GatewayError: the same
        """
        call = Parked(client, self._new_name(), digest)
        call.task = self._tasks.start(_kept(work(call)), "a call of an MCP client")
        call.task.add_done_callback(call.stir)
        return await self._attend(call, answering)

    async def resume(self, client: Client, state: State, answers: Mapping[str, Raw], answering: Answering) -> Raw:
        """Go on with a call that waits.

        :raises RpcError: it does not, or what was brought is no answer
        """
        if state.replica != self._replica:
            return await self._resume_elsewhere(client, state, answers)
        call = self._take(state.call, state.turn, client.caller.name, answers)
        return await self._attend(call, answering)

    def close(self) -> None:
        """Give up those that wait."""
        for call in [*self._parked.values(), *self._visited.values()]:
            self._give_up(call)

    async def visit(self, visit: Visit) -> Mapping[str, Any]:
        """What another process is told, to which a client has come again; nothing, where the call is not here."""
        if visit.replica != self._replica:
            return {}
        try:
            if visit.at:
                return self._pieces.next(visit.call, visit.at)
            call = self._visited.pop(visit.call, None) if visit.is_again else None
            call = call or self._take(visit.call, visit.turn, visit.caller, _raw(visit.answers))
            result = await self._receive(call)
            return {"goes_on": True} if result is None else self._pieces.first(call.name, bytes(result))
        except RpcError as error:
            return _told(error)
        except GatewayError as error:
            return _told(of_gateway(error))

    async def _receive(self, call: Parked) -> Raw | None:
        """The result for a visitor; ``None``: it goes on, and the visitor has to ask again."""
        try:
            async with asyncio.timeout(VISIT_SECONDS):
                await call.attend(None)
        except TimeoutError:
            self._visited[call.name] = call
            self._wait(call)
            return None
        return self._outcome(call)

    async def _resume_elsewhere(self, client: Client, state: State, answers: Mapping[str, Raw]) -> Raw:
        if sum(map(len, answers.values())) > MAX_ANSWERS_BYTES:
            raise TOO_LONG
        result = b""
        visit = Visit(
            replica=state.replica,
            call=state.call,
            turn=state.turn,
            caller=client.caller.name,
            answers={key: bytes(answer).decode() for key, answer in answers.items()},
        )
        while True:
            told = next((one for one in await self.ask_others(visit) if not SAYS.isdisjoint(one)), {})
            if "result" in told:
                result += taken(told)
                if not told["has_more"]:
                    return Raw(result)
            elif "goes_on" not in told:
                raise _untold(told.get("error"))
            visit = msgspec.structs.replace(visit, answers={}, is_again=True, at=len(result))

    def _take(self, name: str, turn: int, caller: str, answers: Mapping[str, Raw]) -> Parked:
        """A call whose client has come again, with what it has brought.

        :raises RpcError: there is no such call, or that is no answer
        """
        call = self._parked.get(name)
        if call is None or call.turn != turn or call.client.caller.name != caller:
            raise RpcError(INVALID_PARAMS, UNKNOWN, status=400)
        call.take(answers)
        del self._parked[name]
        call.rest()
        return call

    async def _attend(self, call: Parked, answering: Answering) -> Raw:
        try:
            await call.attend(answering)
        except asyncio.CancelledError:
            call.task.cancel()
            raise
        return self._outcome(call)

    def _outcome(self, call: Parked) -> Raw:
        call.rest()
        if not call.task.done():
            return self._park(call)
        outcome = call.task.result()
        if isinstance(outcome, Raw):
            return outcome
        raise outcome

    def _park(self, call: Parked) -> Raw:
        waiting = [*self._parked.values(), *self._visited.values()]
        own = sum(one.client.caller.name == call.client.caller.name for one in waiting)
        if own >= self.limits.max_parked - len(waiting):
            # A caller has no more places than are left, so that there are always some for others.
            call.task.cancel()
            raise Overloaded("Too many calls wait for their clients; try again", retry_after=1)
        call.turn += 1
        self._parked[call.name] = call
        self._wait(call)
        state = self._tokens.state(
            call.client.caller,
            call.digest(),
            self.limits.parked_seconds,
            call=call.name,
            replica=self._replica,
            turn=call.turn,
        )
        return input_required({key: (method, params) for key, (method, params, _) in call.asks.items()}, state)

    def _wait(self, call: Parked) -> None:
        call.timer = asyncio.get_running_loop().call_later(self.limits.parked_seconds, self._give_up, call)

    def _give_up(self, call: Parked) -> None:
        self._parked.pop(call.name, None)
        self._visited.pop(call.name, None)
        call.rest()
        call.task.cancel()


def _raw(answers: Mapping[str, str]) -> dict[str, Raw]:
    return {key: Raw(answer.encode()) for key, answer in answers.items()}


def _told(error: RpcError) -> dict[str, Any]:
    return {"error": {"code": error.code, "message": error.message, "data": error.data, "status": error.status}}


def _untold(error: Mapping[str, Any] | None) -> RpcError:
    """The failure that another process has told; ``None``: none has told anything."""
    if error is None:
        return RpcError(INVALID_PARAMS, UNKNOWN, status=400)
    return RpcError(error["code"], error["message"], error["data"], status=error["status"])


async def _kept(work: Coroutine[Any, Any, Raw]) -> Outcome:
    """As a value, for there may be nobody left who hears of it."""
    try:
        return await work
    except (RpcError, GatewayError) as error:
        return error


def is_wanted(message: Message, client: Client) -> bool:
    """Whether a notification is for a modern client: no log messages that it has not asked for in this request."""
    if message.method != "notifications/message":
        return True
    return client.log_level is not None and is_level(message, client.log_level)


def is_level(message: Message, least: str | None) -> bool:
    """Whether a log message is not below that level."""
    try:
        return revisions.is_logged(message.read().get("level"), least)
    except (RpcError, msgspec.MsgspecError):
        return False


def check_answer(method: str, answer: Raw) -> None:
    """:raises RpcError: it is no answer to a request of that method"""
    try:
        found = msgspec.json.decode(answer, type=dict[str, Any])
    except msgspec.MsgspecError:
        found = {}
    is_good = {
        "elicitation/create": found.get("action") in ACTIONS and isinstance(found.get("content", {}), dict | NoneType),
        "sampling/createMessage": {"role", "content", "model"} <= found.keys(),
        "roots/list": isinstance(found.get("roots"), list),
    }
    if not is_good.get(method, False):
        raise RpcError(INVALID_PARAMS, f"'inputResponses' has no valid answer to {method}", status=400)


def _lacking(method: str, params: Raw, client: Client) -> RpcError | None:
    read = Message(params=params).read()
    lacking = revisions.missing(method, read, client.capabilities)
    if lacking is None:
        return None
    data = {"requiredCapabilities": lacking}
    message = f"The client has not declared what {method} needs"
    return RpcError(revisions.MISSING_CAPABILITY, message, data, status=400)
