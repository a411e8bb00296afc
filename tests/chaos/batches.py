"""A batch whose processes are killed while they run it; by itself, a long session with its figures.

PYTHONPATH=tests python -m chaos.batches sqlite|postgres LINES LEASE_SECONDS
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.processes import Process, exchange
from contract.databases import new_database, sqlite_url, store
from contract.postgres import PostgresServer
from system.process import Gateway

KEY = "sk-chaos-0123456789abcdef"
SALT = {"POINTSMAN_SALT_KEY": "a-salt-that-is-long-enough-to-be-one-0123456789"}
CONFIG = """
model_list:
  - model_name: m
    litellm_params:
      {{model: openai/m, api_base: "http://127.0.0.1:{port}/v1", api_key: x, input_cost_per_token: 0.001,
       output_cost_per_token: 0.002}}
general_settings:
  master_key: {key}
{database}
batches: {{max_concurrency: {concurrency}, lease_seconds: {lease}}}
"""
NANOS_PER_LINE = 3_000_000
SECONDS_PER_LINE = 0.05
CONCURRENCY = 8
BOUNDARY = "a-boundary"
ENDED = ("completed", "failed", "expired", "cancelled")
DEADLINE = 20.0


class Upstream(Process):
    """See :mod:`chaos.batch_upstream`."""

    def __init__(self, seconds: float) -> None:
        super().__init__("batch_upstream", str(seconds))

    def state(self) -> dict[str, int]:
        """What it counts."""
        found: dict[str, int] = json.loads(exchange(self.port, "GET", "/state")[1])
        return found


@dataclass
class Outcome:
    """What came of a batch."""

    kills: int
    seconds: float
    batch: dict[str, Any]
    custom_ids: Counter[str]
    upstream: dict[str, int]
    booked: int = 0
    """Calls in the ledger."""
    nanos: int = 0
    """What they cost."""
    waits: list[float] = field(default_factory=list)
    """Seconds without progress, the longest last."""


@dataclass
class Fleet:
    """All processes that share a batch."""

    gateways: list[Gateway]
    kill: Callable[[random.Random], None]

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        """One of them; another one where that was killed meanwhile."""
        until = time.monotonic() + DEADLINE
        while True:
            for gateway in self.gateways:
                try:
                    reply = gateway.request(method, path, body, {"content-type": kind}, key=KEY)
                except (OSError, AssertionError, ValueError, IndexError):
                    continue
                if reply.status == 200:
                    return reply.body
            if time.monotonic() > until:
                raise AssertionError(f"nobody answers {method} {path}")
            time.sleep(0.1)


def end(gateway: Gateway) -> None:
    """At once."""
    with gateway.process as process:
        process.kill()


def children(process: int) -> list[int]:
    """Those that still run."""
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(one) for one in found]


@contextmanager
def workers(home: Path, config: str) -> Iterator[Fleet]:
    """Two workers of one gateway, whose parent puts others in the place of those that are killed."""
    with ExitStack() as stack:
        gateway = stack.enter_context(Gateway(home, config, "--workers", "2"))

        def kill(chance: random.Random) -> None:
            alive = children(gateway.process.pid)
            if alive:
                os.kill(chance.choice(alive), signal.SIGKILL)

        yield Fleet([gateway], kill)


@contextmanager
def replicas(home: Path, config: str) -> Iterator[Fleet]:
    """Three gateways that share a database and a directory; one that is killed is started anew."""
    made: list[Gateway] = []

    def begun(number: int) -> Gateway:
        # Each watches a file of its own.
        return Gateway(home / str(number), config, env=SALT | {"POINTSMAN_DATA_DIR": str(home / "data")}).__enter__()

    def kill(chance: random.Random) -> None:
        place = chance.randrange(len(made))
        end(made[place])
        made[place] = begun(place)

    try:
        made += [begun(number) for number in range(3)]
        yield Fleet(made, kill)
    except BaseException:
        for gateway in made:
            end(gateway)
        raise
    codes = [gateway.stop() for gateway in made]
    assert not any(codes), codes
    assert not any("Traceback" in gateway.stderr for gateway in made)


def lines(count: int) -> bytes:
    """An input file."""
    return b"".join(
        json.dumps(
            {
                "custom_id": f"line-{number}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": "m", "messages": [{"role": "user", "content": f"line-{number}"}]},
            }
        ).encode()
        + b"\n"
        for number in range(count)
    )


def begin(fleet: Fleet, count: int) -> str:
    """The id of a batch of so many lines."""
    form = b'--%b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n' % BOUNDARY.encode()
    form += b'--%b\r\ncontent-disposition: form-data; name="file"; filename="in.jsonl"\r\n\r\n' % BOUNDARY.encode()
    form += lines(count) + b"\r\n--%b--\r\n" % BOUNDARY.encode()
    file = json.loads(fleet.ask("POST", "/v1/files", form, f"multipart/form-data; boundary={BOUNDARY}"))
    asked = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    made: dict[str, str] = json.loads(fleet.ask("POST", "/v1/batches", json.dumps(asked).encode()))
    return made["id"]


def session(fleet: Fleet, upstream: Upstream, count: int, patience: float, pause: tuple[float, float]) -> Outcome:
    """Run a batch, and kill a process every now and then, until it has ended."""
    chance = random.Random(5)
    batch_id = begin(fleet, count)
    began = moved = time.monotonic()
    kills, done, waits = 0, -1, [0.0]
    next_kill = began + chance.uniform(*pause)
    while True:
        batch = json.loads(fleet.ask("GET", f"/v1/batches/{batch_id}"))
        now, counts = time.monotonic(), batch["request_counts"]
        if counts["completed"] + counts["failed"] != done:
            waits[-1] = max(waits[-1], now - moved)
            done, moved = counts["completed"] + counts["failed"], now
        if batch["status"] in ENDED:
            break
        if now - began > patience:
            raise AssertionError(f"the batch has not ended: {batch}")
        if now >= next_kill:
            fleet.kill(chance)
            kills += 1
            next_kill = time.monotonic() + chance.uniform(*pause)
        time.sleep(0.2)
    output = b""
    for name in ("output_file_id", "error_file_id"):
        if batch[name] is not None:
            output += fleet.ask("GET", f"/v1/files/{batch[name]}/content")
    ids = Counter(json.loads(line)["custom_id"] for line in output.splitlines())
    return Outcome(kills, time.monotonic() - began, batch, ids, upstream.state(), waits=waits)


async def book(outcome: Outcome, url: str) -> None:
    """Add what the ledger says."""
    records = store(url)
    await records.open()
    [total] = await records.spend_by((), 0, time.time() * 2)
    outcome.booked, outcome.nanos = total.requests, total.cost_nano_usd
    await records.close()


def run(
    home: Path, url: str, *, count: int, lease: float, patience: float, pause: tuple[float, float] = (2.0, 5.0)
) -> Outcome:
    """A session on SQLite or PostgreSQL."""
    is_sqlite = url.startswith("sqlite")
    with Upstream(SECONDS_PER_LINE) as upstream:
        database = f'  database_url: "{url}"'
        config = CONFIG.format(port=upstream.port, key=KEY, database=database, concurrency=CONCURRENCY, lease=lease)
        with (workers if is_sqlite else replicas)(home, config) as fleet:
            outcome = session(fleet, upstream, count, patience, pause)
            # What those have spent who were killed is written by the others.
            time.sleep(2.0)
        asyncio.run(book(outcome, url))
    return outcome


def main() -> None:
    """Print the figures."""
    kind, count, lease = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    server = None
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        if kind == "postgres":
            server = PostgresServer()
            server.start()
            url = asyncio.run(new_database(server))
        else:
            url = sqlite_url(home)
        try:
            outcome = run(home, url, count=count, lease=lease, patience=900.0)
        finally:
            if server is not None:
                server.close()
    outcome.batch.pop("metadata")
    twice = sum(times - 1 for times in outcome.custom_ids.values())
    sys.stdout.write(
        f"{kind}: {outcome.batch['status']} after {outcome.seconds:.0f} s and {outcome.kills} kills; "
        f"{outcome.batch['request_counts']}, {len(outcome.custom_ids)} ids, {twice} twice; "
        f"upstream {outcome.upstream}; ledger {outcome.booked} calls, {outcome.nanos} nano-dollars; "
        f"usage {outcome.batch['usage']['total_tokens']}; longest standstill {max(outcome.waits):.1f} s\n"
    )


if __name__ == "__main__":
    main()
