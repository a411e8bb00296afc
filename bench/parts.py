"""What the fault scenarios are made of: a gateway on its core, loads that do not wait, and figures with their goals."""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from chaos.processes import exchange
from system.process import Gateway

from bench import machine, programs
from bench.compare import Goal
from bench.programs import CHAT, GROUP, MASTER_KEY, WORK, Load

MOST_CONNECTIONS = 8000
LEAST_SENT = 0.95  # of what should have been, or the figures say nothing
SAMPLE = struct.Struct("=qqqq")
SECOND = 1_000_000_000
NOT_ANSWERED = {0: "connection ended", 1: "unfinished", 2: "wrong answer", 3: "not sent"}
REFUSALS = frozenset({429, 503})
HEALTH = b"GET /health/liveliness HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
HEALTH_EVERY = 0.02
HEALTH_LIMIT = 10.0
DEPLOYMENT = """
  - model_name: {group}
    litellm_params: {{model: openai/either, api_base: "http://127.0.0.1:{port}/v1", api_key: sk-upstream{more}}}
    model_info: {{id: "{number}"}}"""


@dataclass(frozen=True)
class Setting:
    """How a session is run."""

    real_time: bool
    is_quick: bool

    def size(self, count: int, quick: int) -> int:
        """As much as a scenario wants, or as little as shows that it works."""
        return quick if self.is_quick else count


@dataclass
class Case:
    """One row of the table of a scenario."""

    scenario: str
    name: str
    figures: dict[str, Any] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)

    def at_most(self, what: str, value: float | None, limit: float) -> None:
        self.goals.append(Goal(f"{self.scenario}, {self.name}: {what} <= {limit:g}", value, at_most=limit))

    def at_least(self, what: str, value: float | None, limit: float) -> None:
        self.goals.append(Goal(f"{self.scenario}, {self.name}: {what} >= {limit:g}", value, at_least=limit))


class Sample(NamedTuple):
    """One request, in nanoseconds from the start of the load and from when it was due; see the head of load.c."""

    begun: int
    took: int
    first: int
    status: int


class Samples(list[Sample]):
    """What came of the requests of a load, in the order in which they ended."""

    def since(self, seconds: float) -> Samples:
        """Those that were due then or later."""
        return Samples(one for one in self if one.begun >= seconds * SECOND)

    @property
    def good(self) -> Samples:
        return Samples(one for one in self if one.status == 200)

    @property
    def refused(self) -> Samples:
        return Samples(one for one in self if one.status in REFUSALS)

    @property
    def errors(self) -> int:
        return sum(one.status != 200 for one in self)

    @property
    def other(self) -> int:
        """Neither answered nor refused."""
        return sum(one.status != 200 and one.status not in REFUSALS for one in self)

    def took_ms(self, share: float) -> float | None:
        return quantile([one.took / 1e6 for one in self], share)

    def first_ms(self, share: float) -> float | None:
        return quantile([one.first / 1e6 for one in self], share)

    def goodput(self, start: float, end: float) -> float:
        """Good answers a second that came between these seconds of the load."""
        ended = sum(start * SECOND <= one.begun + one.took < end * SECOND for one in self.good)
        return ended / (end - start)

    def outcomes(self) -> str:
        """How many there are of each kind."""
        found = Counter(NOT_ANSWERED.get(one.status, str(one.status)) for one in self)
        return ", ".join(f"{count} x {name}" for name, count in found.most_common())


def quantile(values: Sequence[float], share: float) -> float | None:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def ratio(value: float | None, other: float | None) -> float | None:
    return value / other if value is not None and other else None


class OpenLoad:
    """Requests at a rate, whether or not those before are answered."""

    def __init__(
        self,
        gateway: Gateway,
        rate: float,
        seconds: float,
        setting: Setting,
        *,
        stream: bool = False,
        connections: int = MOST_CONNECTIONS,
    ) -> None:
        self._rate, self._seconds = rate, seconds
        self._file = tempfile.NamedTemporaryFile(dir=WORK, suffix=".samples")  # noqa: SIM115  # read when the load has ended
        body = "group-stream" if stream else "group"
        load = Load("open", CHAT, body, connections, seconds, rate=rate, samples=Path(self._file.name))
        self._process = programs.start_load(load, gateway.port, real_time=setting.real_time)
        programs.expect_line(self._process.stdout, "go")

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def samples(self) -> Samples:
        """Wait for its end."""
        with self._file:
            programs.result(self._process, self._seconds)
            data = self._file.read()
        samples = Samples(map(Sample._make, SAMPLE.iter_unpack(data)))
        if len(samples) < LEAST_SENT * self._rate * self._seconds:
            raise RuntimeError(f"the load was held up: {len(samples)} requests at {self._rate:.0f} a second")
        return samples


def open_load(gateway: Gateway, rate: float, seconds: float, setting: Setting, *, stream: bool = False) -> Samples:
    return OpenLoad(gateway, rate, seconds, setting, stream=stream).samples()


def closed_load(gateway: Gateway, connections: int, seconds: float, setting: Setting) -> dict[str, Any]:
    """Figures of load.c; times in microseconds."""
    load = Load("closed", CHAT, "group", connections, seconds)
    process = programs.start_load(load, gateway.port, real_time=setting.real_time)
    programs.expect_line(process.stdout, "go")
    figures = programs.result(process, seconds)
    if not figures["ok"]:
        raise RuntimeError(f"no request was answered: {figures.get('complaint', 'no reason is known')}")
    return figures | {"rps": figures["ok"] / seconds}


async def probe(port: int, load: OpenLoad) -> list[float]:
    """Milliseconds that liveliness takes on new connections, as long as the load runs; the limit if there is no 200."""
    times = []
    while load.is_running:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(HEALTH_LIMIT):
                is_live = await _is_live(port)
        except (OSError, TimeoutError):
            is_live = False
        took = time.monotonic() - begun
        times.append(1000 * (took if is_live else HEALTH_LIMIT))
        await asyncio.sleep(max(0.0, HEALTH_EVERY - took))
    return times


async def _is_live(port: int) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(HEALTH)
        return (await reader.read()).startswith(b"HTTP/1.1 200 ")
    finally:
        writer.close()


def config(ports: Sequence[int], *, params: str = "", settings: str = "{}", general: str = "") -> str:
    """One group with a deployment at each port; `params` are added to each, `settings` are Pointsman's own."""
    more = f", {params}" if params else ""
    models = [DEPLOYMENT.format(group=GROUP, port=port, number=n, more=more) for n, port in enumerate(ports)]
    own = f"pointsman_settings: {settings}"
    return f"model_list:{''.join(models)}\ngeneral_settings: {{master_key: {MASTER_KEY}, {general}}}\n{own}\n"


@contextmanager
def gateway(text: str, setting: Setting) -> Iterator[Gateway]:
    """A gateway with this configuration, alone on its core."""
    prefix = machine.pinned([], machine.GATEWAY_CPU, real_time=setting.real_time)
    with tempfile.TemporaryDirectory() as home, Gateway(Path(home), text, prefix=tuple(prefix)) as running:
        running.key = MASTER_KEY
        yield running


class ModelUpstream:
    """An upstream of bench/model.py."""

    def __init__(self, **options: float) -> None:
        words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        command = [sys.executable, str(programs.BENCH / "model.py"), *words]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def state(self) -> dict[str, int]:
        """How many requests it was asked for, and how many were at most there at a time."""
        found: dict[str, int] = json.loads(exchange(self.port, "GET", "/state")[1])
        return found
