"""Throws broken requests, answers and streams at everything that reads them.

The samples are the golden files. A case takes one, breaks it (bytes, JSON, or messages of a stream) and reads it as the
gateway would: requests as far as the provider's body, answers and streams as far as the client's reply. Whatever comes,
only a :class:`~pointsman.errors.GatewayError` may be raised, and soon.

    python tests/chaos/fuzz_decoders.py --cases 1000000 --seed 1
    python tests/chaos/fuzz_decoders.py --seed 1 --only 4711        shows one case again
"""

from __future__ import annotations

import argparse
import faulthandler
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

TESTS: Final = Path(__file__).parents[1]
if str(TESTS) not in sys.path:
    sys.path.append(str(TESTS))

from matrix.answering import relay_between, terms_for  # noqa: E402 - found by the line before
from matrix.asked import CLIENTS, MODELS, PROVIDERS  # noqa: E402
from matrix.asking import client_dialect, provider_dialect  # noqa: E402
from unit.wire import eventstreams  # noqa: E402

from pointsman.errors import GatewayError  # noqa: E402
from pointsman.providers.codecs import DIALECTS  # noqa: E402
from pointsman.providers.custom_tools import as_functions  # noqa: E402
from pointsman.providers.failures import classify, classify_inside  # noqa: E402
from pointsman.providers.translation import Terms  # noqa: E402
from pointsman.wire.members import is_deeper_than  # noqa: E402
from pointsman.wire.operations import CHAT, COMPLETION, MESSAGES, RESPONSES  # noqa: E402
from pointsman.wire.peek import MAX_DEPTH, peek  # noqa: E402
from pointsman.wire.sse import SseRelay  # noqa: E402
from pointsman.wire.usage import find_usage  # noqa: E402

OPERATIONS: Final = (CHAT, COMPLETION, RESPONSES, MESSAGES)
HANG_SECONDS: Final = 60.0
"""After which the program shows where it stands, and ends."""
SLOW_SECONDS: Final = 1.0
MAX_DEFECTS: Final = 20
_encode: Final = msgspec.json.Encoder().encode
_ODD: Final[tuple[bytes, ...]] = (
    b"null",
    b"-1",
    b"1e999",
    b"1180591620717411303424",
    b"0.5",
    b'""',
    b"[]",
    b"{}",
    b"[[[]]]",
    b"true",
    b'"\\ud800"',
    b'"\\u0000"',
    b"\xff",
    b"\xef\xbb\xbf",
    b"\n\n",
    b"\r",
    b"data: ",
    b"event: error\n",
    b"[" * 2000,
    b'{"a":' * 300,
    b'"error":{"message":"x"},',
    b"data: [DONE]\n\n",
)
_OTHER_ANSWER: Final = {
    "embeddings": {"float": [[0.5, 1.5]]},
    "embedding": {"values": [0.5]},
    "data": [{"embedding": [0.5], "index": 0, "relevance_score": 0.5}],
    "results": [{"index": 0, "relevance_score": 0.5, "document": {"text": "a"}}],
    "text": "Hi",
    "words": [{"text": "Hi", "start": 0.0, "end": 0.5, "type": "word"}],
    "metadata": {"duration": 1.5},
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
    "meta": {"billed_units": {"search_units": 1}},
}
"""Has something of the answers of all operations besides chat."""
_OTHER_REQUEST: Final = {
    "model": "m",
    "input": ["a"],
    "query": "q",
    "documents": ["a", "b"],
    "voice": "v",
    "response_format": "verbose_json",
}

Sample = tuple[str, str, list[Any]]
"""Its kind, its dialect, and its JSON: one value, or the messages of a stream."""


def samples() -> list[Sample]:
    """All of the golden files, and something of the other operations."""
    found: list[Sample] = []
    for path in sorted((TESTS / "golden").glob("*/*/*.json")):
        kind, dialect = path.parent.name, path.parent.parent.name
        if kind in ("streams", "answers", "requests_in", "errors"):
            native = msgspec.json.decode(path.read_bytes())["native"]
            found.append((kind, dialect, native if kind == "streams" else [native]))
    for name, dialect_ in DIALECTS.items():
        found += [("others", f"{name} {operation}", [_OTHER_ANSWER]) for operation in dialect_.others]
    return found


def take_answer(body: bytes, provider: str, client: str) -> None:
    """Read what a provider has answered, and write it for a client.

    :raises GatewayError: as it should
    """
    answer = provider_dialect(provider).read_answer(body)
    _encode(client_dialect(client).write_answer(answer, terms_for(client)))


def take_request(body: bytes, client: str, provider: str, model: str) -> None:
    """Read what a client asks for, and write it for a provider.

    :raises GatewayError: as it should
    """
    if is_deeper_than(body, MAX_DEPTH):
        return  # refused before anything is read
    request = client_dialect(client).read_request(body)
    if len(body) % 2:
        request = as_functions(request)
    terms = Terms(model=model, max_output_tokens=4096, lost=[])
    _encode(provider_dialect(provider).write_request(request, terms))


class Case:
    """One case, the same for the same seed and number."""

    def __init__(self, seed: int, number: int, all_samples: list[Sample]) -> None:
        self.random = Random(f"{seed}:{number}")
        self.kind, self.dialect, self.values = self.random.choice(all_samples)

    def run(self) -> None:
        """Read it.

        :raises GatewayError: as it should
        """
        getattr(self, f"_read_{self.kind}")()

    def _read_streams(self) -> None:
        messages = self._broken_messages()
        stream = self._broken_bytes(b"".join(messages)) if self.random.random() < 0.3 else b"".join(messages)
        relay = relay_between(self.random.choice(CLIENTS), self.dialect)
        size = self.random.choice((1, 5, 64, 2**30)) if len(stream) < 4000 else self.random.choice((512, 2**30))
        for at in range(0, len(stream), size):
            relay.feed(stream[at : at + size])
            if relay.failure is not None:
                return
        relay.close()
        if provider_dialect(self.dialect).FRAMING == "sse":
            passed = SseRelay("public", strip_usage=True)
            passed.feed(stream)
            passed.close()

    def _broken_messages(self) -> list[bytes]:
        messages = [self._framed(value) for value in self.values]
        for _ in range(self.random.randint(0, 3)):
            at = self.random.randrange(len(messages))
            match self.random.randrange(6):
                case 0:
                    del messages[at:]
                case 1:
                    del messages[at]
                case 2:
                    messages.insert(at, self.random.choice(messages))
                case 3:
                    self.random.shuffle(messages)
                case _:
                    messages[at] = self._framed(self.values[min(at, len(self.values) - 1)], is_broken=True)
            if not messages:
                messages = [b""]
        return messages

    def _framed(self, value: Any, *, is_broken: bool = False) -> bytes:
        """A message of a golden stream as it is on the wire, its JSON broken if that is wanted."""
        if isinstance(value, list):  # Amazon's
            name, data = value
            if not is_broken:
                return eventstreams.encode(name, data)
            headers = {":event-type": name, ":message-type": "event"}
            return eventstreams.message(headers, self._broken_json(data))
        text = value.strip().encode()
        head, start, data = text.partition(b"{")
        if is_broken and start:
            text = head + self._broken_json(_decoded(start + data))
        ending = b"\n" if self.dialect == "ollama" else b"\n\n"
        return bytes(text + ending)

    def _read_answers(self) -> None:
        take_answer(self._broken(), self.dialect, self.random.choice(CLIENTS))

    def _read_requests_in(self) -> None:
        body = self._broken()
        if self.random.random() < 0.2:
            peek(self.random.choice(OPERATIONS), body)
        provider = self.random.choice(PROVIDERS)
        take_request(body, self.dialect, provider, self.random.choice((MODELS[provider], "other")))

    def _read_errors(self) -> None:
        body = self._broken()
        classify(self.random.choice((400, 429, 500, 200)), (), body, secrets=("x",), address="a", now=0.0)
        classify_inside(body, secrets=(), address="")
        find_usage(body)

    def _read_others(self) -> None:
        name, operation = self.dialect.split()
        other = DIALECTS[name].others[operation]
        asked = self._changed(_OTHER_REQUEST)
        request = asked if isinstance(asked, dict) else _OTHER_REQUEST
        if self.random.random() < 0.5:
            other.write(request, Terms(model="m", lost=[]), "")
        other.read(self._broken(), _OTHER_REQUEST)

    def _broken(self) -> bytes:
        return self._broken_json(self.values[0])

    def _broken_json(self, value: Any) -> bytes:
        for _ in range(self.random.randint(0, 3)):
            value = self._changed(value)
        encoded = _encode(value)
        return self._broken_bytes(encoded) if self.random.random() < 0.3 else encoded

    def _changed(self, value: Any) -> Any:
        """``value`` with another value somewhere within it, one more, or one less."""
        if isinstance(value, dict) and value and self.random.random() < 0.9:
            name = self.random.choice(list(value))
            if self.random.random() < 0.15:
                return {each: member for each, member in value.items() if each != name}
            return {**value, name: self._changed(value[name])}
        if isinstance(value, list) and value and self.random.random() < 0.9:
            at = self.random.randrange(len(value))
            match self.random.randrange(6):
                case 0:
                    return value[:at] + value[at + 1 :]
                case 1:
                    return [*value, value[at]]
            return [*value[:at], self._changed(value[at]), *value[at + 1 :]]
        return self._another(value)

    def _another(self, value: Any) -> Any:
        if isinstance(value, str) and self.random.random() < 0.5:
            at = self.random.randint(0, len(value))
            return value[:at] + self.random.choice(("", "\u0000", "é" * 50, "#", "data:x", "{", "\n\n")) + value[at:]
        return self.random.choice(
            (None, True, False, 0, -1, 7, 2**63, 1.5, -1e300, "", "x", "7", [], {}, [None], [{}], ["x"], {"type": "x"})
        )

    def _broken_bytes(self, text: bytes) -> bytes:
        for _ in range(self.random.randint(1, 3)):
            at, end = sorted((self.random.randint(0, len(text)), self.random.randint(0, len(text))))
            match self.random.randrange(5):
                case 0:
                    text = text[:at]
                case 1:
                    text = text[:at] + text[min(end, at + 8) :]
                case 2:
                    text = text[:at] + text[at : at + 200] * 2 + text[at:]
                case 3:
                    text = text[:at] + bytes([self.random.randrange(256)]) + text[at + 1 :]
                case _:
                    text = text[:at] + self.random.choice(_ODD) + text[at:]
        return text


def _decoded(data: bytes) -> Any:
    """The JSON of a message; some of the golden ones are broken already."""
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:
        return data.decode(errors="replace")


class Tally(msgspec.Struct):
    """What has come of the cases."""

    read: int = 0
    refused: int = 0
    defects: list[str] = []
    slowest: float = 0.0
    slowest_case: int = -1


def fuzz(seed: int, first: int, n_cases: int, note: Callable[[int], None] = lambda _: None) -> Tally:
    """Run the cases with the numbers from ``first`` on; ``note`` is told each number."""
    tally, all_samples = Tally(), samples()
    for number in range(first, first + n_cases):
        note(number)
        case = Case(seed, number, all_samples)
        begun = time.perf_counter()
        try:
            case.run()
            tally.read += 1
        except GatewayError:
            tally.refused += 1
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            tally.defects.append(f"case {number}: {case.kind} of {case.dialect}: {type(error).__name__}: {error}"[:300])
            if len(tally.defects) == MAX_DEFECTS:
                return tally
        seconds = time.perf_counter() - begun
        if seconds > tally.slowest:
            tally.slowest, tally.slowest_case = seconds, number
    return tally


def main() -> None:
    """Run what the command line says, and print what has come of it."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--first", type=int, default=0)
    arguments.add_argument("--cases", type=int, default=100_000)
    arguments.add_argument("--only", type=int)
    given = arguments.parse_args()
    if given.only is not None:
        Case(given.seed, given.only, samples()).run()
        return

    def note(number: int) -> None:
        if number % 1000 == 0:
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)

    begun = time.perf_counter()
    tally = fuzz(given.seed, given.first, given.cases, note)
    seconds = time.perf_counter() - begun
    print(*tally.defects, sep="\n")  # noqa: T201 - this is what it is for
    print(  # noqa: T201
        f"{tally.read + tally.refused} cases in {seconds:.0f} s: {tally.read} read, {tally.refused} refused, "
        f"{len(tally.defects)} defects, slowest {tally.slowest:.3f} s (case {tally.slowest_case})"
    )
    sys.exit(bool(tally.defects) or tally.slowest > SLOW_SECONDS)


if __name__ == "__main__":
    main()
