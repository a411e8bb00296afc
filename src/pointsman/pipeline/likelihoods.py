"""What a language model finds likely: which candidate it would name for a prompt, by how likely its next token is.

Candidates are put to it as letters, and it is asked for one token with the likeliest alternatives. That works with
every server that gives ``top_logprobs``; scoring whole names would need prompts to be echoed, which few do. That a
letter is likely for itself is taken away by asking once without a prompt.

It is a chat model of the gateway, or with the library transformers one in this process. Nobody waits for it longer
than a deadline, and a model that fails again and again is left alone for a while.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from string import ascii_uppercase
from typing import Any, Protocol

import numpy as np

from pointsman.errors import GatewayError
from pointsman.ml.base import Floats
from pointsman.ml.estimators.causal import USUAL_BELIEF, evidence
from pointsman.ml.localmodel import LocalModel, NoLocalModel
from pointsman.pipeline.call import Call
from pointsman.pipeline.errand import Asking
from pointsman.pipeline.inside import Collector, Spoken
from pointsman.pipeline.wants import NOTHING
from pointsman.routing.procedures.base import prompt
from pointsman.routing.settings import RoutedSettings
from pointsman.routing.strategies.learned import Lineup
from pointsman.wire import operations as op

LOCAL = "local:"
"""How the name of a model begins that is in this process."""
LETTERS = ascii_uppercase[:20]
"""Servers give at most so many alternatives."""
INSTRUCTION = (
    "You choose which language model answers a question. Weigh how likely each is to answer it correctly, and among "
    "equals take the cheaper one. Reply with one letter and nothing else.\n{models}"
)
ASKED = "Question:\n{text}\n\nThe letter of the model:"
NO_QUESTION = "(none)"
DEADLINE = 1.0
MAX_KEPT = 4096
MAX_EVIDENCE = 5.0
"""A model that is sure is not more than this much surer: it has seen no outcome."""
LEAST = 1e-6
"""Chance that something is said that is not among the alternatives."""
LOWEST = -1000.0
"""Log-likelihoods are from here to 0, whatever a server says."""
MAX_FAILURES = 3
REST = 30.0


Spend = Callable[[Decimal], None]
"""Takes US dollars."""


class Oracle(Protocol):
    """Whoever finds letters likely."""

    async def likelihoods(self, instruction: str, asked: str, count: int, spend: Spend) -> Floats:
        """(1, count) log-likelihoods of the first letters; NaN where nothing is known. ``spend`` hears what it costs.

        :raises GatewayError: it says nothing of them
        """


class Likelihoods:
    """Asks about the candidates. Times in seconds."""

    def __init__(
        self,
        oracle: Oracle,
        described: Sequence[tuple[str, str]],
        clock: Callable[[], float],
        *,
        deadline: float = DEADLINE,
        belief: float = USUAL_BELIEF,
    ) -> None:
        """``described`` are the candidates' names and descriptions; of more than there are letters, the first ones."""
        self._oracle = oracle
        self._clock = clock
        self._count = len(described)
        shown = zip(LETTERS, described, strict=False)
        models = "\n".join(f"{letter}. {name}{f': {about}' if about else ''}" for letter, (name, about) in shown)
        self._instruction = INSTRUCTION.format(models=models)
        self._deadline = deadline
        self._scale = np.float32(belief / USUAL_BELIEF)
        self._kept: OrderedDict[bytes, Floats] = OrderedDict()
        self._running: dict[bytes, asyncio.Future[Floats | None]] = {}
        """Texts that are just being asked about."""
        self._unprompted: Floats | None = None
        self._failures = 0
        self._rests_until = -math.inf
        self.failed_total = 0

    def kept(self, text: str) -> Floats | None:
        """The same, as far as it is known without asking."""
        return self._kept.get(_key(text))

    async def evidence(self, text: str, spend: Spend) -> Floats | None:
        """(1, m) how much ``text`` speaks for each candidate; ``None``: it is not known in time.

        ``spend`` hears what was asked for it has cost.
        """
        key = _key(text)
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found
        if self._clock() < self._rests_until:
            return None
        running = self._running.get(key)
        if running is not None:
            done, _ = await asyncio.wait({running}, timeout=self._deadline)
            return None if not done or running.cancelled() else running.result()
        running = self._running[key] = asyncio.get_running_loop().create_future()
        try:
            found = await self._found(text, key, spend)
            running.set_result(found)
        finally:
            del self._running[key]
            # Whoever asked for all has left: the others go on without.
            running.cancel()
        return found

    async def _found(self, text: str, key: bytes, spend: Spend) -> Floats | None:
        now = self._clock()
        try:
            async with asyncio.timeout(self._deadline):
                if self._unprompted is None:
                    # What comes too late for this prompt is there for the next one.
                    self._unprompted = (await self._ask(NO_QUESTION, spend))[0]
                said = await self._ask(text, spend)
        except (GatewayError, TimeoutError):
            self._fail(now)
            return None
        self._failures = 0
        found = evidence(said, np.ones(self._count, np.float32), self._unprompted)
        found = np.clip(found, -MAX_EVIDENCE, MAX_EVIDENCE) * self._scale
        self._keep(key, found)
        return found

    async def _ask(self, text: str, spend: Spend) -> Floats:
        return await self._oracle.likelihoods(self._instruction, ASKED.format(text=text), self._count, spend)

    def _fail(self, now: float) -> None:
        self.failed_total += 1
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            self._rests_until = now + REST

    def _keep(self, key: bytes, found: Floats) -> None:
        self._kept[key] = found
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()


class ChatModel:
    """A chat model of the gateway."""

    def __init__(self, asking: Asking, model: str, deadline: float = DEADLINE) -> None:
        self._asking = asking
        self._model = model
        self._deadline = deadline

    async def likelihoods(self, instruction: str, asked: str, count: int, spend: Spend) -> Floats:
        """By the alternatives to the first token of its answer.

        :raises GatewayError: it fails, or says nothing of the letters
        """
        now = self._asking.clock()
        call = Call(op.CHAT, Collector(), {}, b"", now, is_master=False)
        call.group = self._model
        request = prompt(instruction, asked, max_tokens=1, temperature=0.0, logprobs=True, top_logprobs=len(LETTERS))
        spoken = Spoken(request)
        try:
            await self._asking.ask(call, self._model, spoken, NOTHING, now + self._deadline)
        finally:
            if (cost := spoken.cost) is not None:
                spend(cost)
        choices = spoken.answer.choices
        return likelihoods(choices[0].logprobs if choices else None, count)


class InProcess:
    """A model in this process, one question at a time; loaded with the first one."""

    def __init__(self, load: Callable[[], LocalModel]) -> None:
        self._load = load
        self._model: LocalModel | None = None
        self._running: asyncio.Future[Floats | GatewayError] | None = None

    async def likelihoods(self, instruction: str, asked: str, count: int, spend: Spend) -> Floats:
        """In a thread, so that nobody else waits. Who leaves early leaves the thread at work, which has its turn then.

        :raises GatewayError: there is no such model
        """
        del spend
        while self._running is not None and not self._running.done():
            await asyncio.wait({self._running})
        loop = asyncio.get_running_loop()
        self._running = loop.run_in_executor(None, self._likelihoods, instruction, asked, count)
        found = await asyncio.shield(self._running)
        if isinstance(found, GatewayError):
            raise found
        return found

    def _likelihoods(self, instruction: str, asked: str, count: int) -> Floats | GatewayError:
        # A failure is given and not raised: there may be nobody left to take it.
        try:
            if self._model is None:
                self._model = self._load()
        except NoLocalModel as error:
            return GatewayError(operator_detail=str(error))
        found = np.full((1, count), np.nan, np.float32)
        found[:, : len(LETTERS)] = self._model.likelihoods(instruction, asked, LETTERS[:count])
        return found


def likelihoods(entries: Sequence[Mapping[str, Any]] | None, count: int) -> Floats:
    """(1, count) log-likelihoods of the letters out of ``logprobs.content``; NaN where there is no letter for it.

    A letter that is not among the alternatives gets what it can be at most: as likely as the least likely of them, and
    as all that they leave.

    :raises GatewayError: no letter is among them
    """
    listed = _listed(entries)
    found = [math.nan] * count
    left = 1.0 - sum(math.exp(value) for _, value in listed)
    floor = min((value for _, value in listed), default=math.nan)
    floor = min(floor, math.log(max(left, LEAST)))
    seen = 0
    for place, letter in enumerate(LETTERS[:count]):
        values = [value for token, value in listed if token.strip(" .()*\n▁Ġ").upper() == letter]
        seen += bool(values)
        found[place] = _log_sum(values) if values else floor
    if not seen:
        raise GatewayError("The model says nothing of the candidates")
    return np.array([found], np.float32)


def evidence_of(settings: RoutedSettings, lineup: Lineup, asking: Asking) -> Likelihoods | None:
    """Who is asked about the candidates of a routed model; ``None``: nobody is to be."""
    controller = settings.options.get("controller")
    if settings.strategy != "causallm" or not controller:
        return None
    descriptions = settings.options.get("descriptions", {})
    deadline = settings.options.get("deadline", DEADLINE)
    oracle: Oracle = ChatModel(asking, controller, deadline)
    if controller.startswith(LOCAL):
        oracle = InProcess(partial(LocalModel.named, controller.removeprefix(LOCAL)))
    return Likelihoods(
        oracle,
        [(one.name, descriptions.get(one.name) or one.card.description) for one in lineup.candidates],
        asking.clock,
        deadline=deadline,
        belief=settings.options.get("belief", USUAL_BELIEF),
    )


def _listed(entries: Sequence[Mapping[str, Any]] | None) -> list[tuple[str, float]]:
    first = entries[0] if entries else {}
    tops: Iterable[Mapping[str, Any]] = first.get("top_logprobs") or [first]
    pairs = [(top.get("token"), top.get("logprob")) for top in tops]
    return [
        (token, max(LOWEST, min(0.0, float(value))))
        for token, value in pairs
        if isinstance(token, str) and value is not None
    ]


def _log_sum(values: Sequence[float]) -> float:
    highest = max(values)
    return highest + math.log(sum(math.exp(value - highest) for value in values))
