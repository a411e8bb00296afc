"""What a batch costs, and what it costs others: ``python -m bench.batches --help``.

*Overhead*: lines a second of one process on SQLite, with an upstream that answers at once, and the processor time of
the gateway for each, ledger and result included. *Manners*: the latency of chats that come at a steady rate, whose
upstream needs 60 ms, in turns without a batch and with one that has always more to do.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import machine
from bench.programs import BENCH, CHAT, MASTER_KEY, WORK, Load, build, expect_line, result, start_load

PORT, MOCK_PORT = 9410, 9411
CONFIG = f"""
model_list:
  - model_name: gpt-4o
    litellm_params:
      {{model: openai/gpt-4o, api_base: "http://127.0.0.1:{MOCK_PORT}/v1", api_key: sk-up,
       input_cost_per_token: 0.000001, output_cost_per_token: 0.000002}}
general_settings:
  master_key: {MASTER_KEY}
batches: {{max_concurrency: 512}}
"""
BOUNDARY = "a-boundary"
ENDED = ("completed", "failed", "expired", "cancelled")
START_LIMIT, END_LIMIT = 30.0, 120.0
RATE = 100.0
"""Chats a second."""
CHAT_SECONDS = 8.0
CONNECTIONS = 200
HERTZ = os.sysconf("SC_CLK_TCK")


def ask(method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
    headers = {"Authorization": f"Bearer {MASTER_KEY}", "Content-Type": kind}
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", body, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.loads(reply.read())


def upload(count: int) -> str:
    """An input file of so many lines."""
    body = json.loads((WORK / "chat.json").read_text())
    line = {"custom_id": "", "method": "POST", "url": CHAT, "body": body}
    lines = "".join(json.dumps(line | {"custom_id": f"line-{number}"}) + "\n" for number in range(count))
    form = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    form += f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="in.jsonl"\r\n\r\n'
    form += f"{lines}\r\n--{BOUNDARY}--\r\n"
    made = ask("POST", "/v1/files", form.encode(), f"multipart/form-data; boundary={BOUNDARY}")
    return str(made["id"])


def begin(file: str) -> str:
    asked = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}
    return str(ask("POST", "/v1/batches", json.dumps(asked).encode())["id"])


def awaited(batch: str, states: tuple[str, ...], pause: float = 0.05) -> dict[str, Any]:
    """The batch as soon as it is in one of these states."""
    until = time.monotonic() + END_LIMIT
    while time.monotonic() < until:
        found: dict[str, Any] = ask("GET", f"/v1/batches/{batch}")
        if found["status"] in states:
            return found
        time.sleep(pause)
    raise RuntimeError(f"batch {batch} does not come to its end")


def processor(pid: int) -> float:
    """Seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / HERTZ


@contextmanager
def gateway(*, real_time: bool) -> Iterator[int]:
    """Its process id, with nothing remembered of before."""
    data = WORK / "batches-data"
    shutil.rmtree(data, ignore_errors=True)
    config = WORK / "batches.yaml"
    config.write_text(CONFIG)
    program = Path(sys.executable).with_name("pointsman")
    command = [str(program), "serve", "-c", str(config), "--port", str(PORT), "--host", "127.0.0.1"]
    command += ["--drain-delay", "0"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(WORK), "POINTSMAN_DATA_DIR": str(data)}
    with (WORK / "batches.log").open("w") as log:
        pinned = machine.pinned(command, machine.GATEWAY_CPU, real_time=real_time)
        process = subprocess.Popen(pinned, env=environment, stdout=log, stderr=log)
        try:
            until = time.monotonic() + START_LIMIT
            while time.monotonic() < until:
                try:
                    ask("GET", "/health/readiness")
                    break
                except OSError:
                    time.sleep(0.05)
            yield process.pid
        finally:
            process.terminate()
            process.wait(30)


def overhead(count: int, *, real_time: bool) -> dict[str, float]:
    """One batch by itself, from the first line to the last result."""
    with gateway(real_time=real_time) as pid:
        batch = begin(upload(count))
        awaited(batch, ("in_progress",), 0.005)
        began, used = time.monotonic(), processor(pid)
        # Rarely, for each look is a request.
        awaited(batch, ("finalizing", *ENDED), 0.25)
        seconds, busy = time.monotonic() - began, processor(pid) - used
        ended = awaited(batch, ENDED, 0.25)
        if ended["request_counts"]["completed"] != count:
            raise RuntimeError(f"not all lines were answered: {ended}")
        written = time.monotonic() - began - seconds
        return {
            "lines_per_s": count / seconds,
            "processor_us_per_line": 1e6 * busy / count,
            "lines_per_processor_s": count / busy,
            "files_s": written,
        }


def chats(*, real_time: bool) -> dict[str, float]:
    """Latency of chats that come at a steady rate, in milliseconds."""
    samples = WORK / "batches-samples"
    load = Load("open", CHAT, "chat-wait", CONNECTIONS, CHAT_SECONDS, rate=RATE, samples=samples)
    process = start_load(load, PORT, real_time=real_time)
    expect_line(process.stdout, "go")
    figures = result(process, CHAT_SECONDS)
    took = sorted(one[1] / 1e6 for one in struct.iter_unpack("<4q", samples.read_bytes()))
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    told = {name: took[min(len(took) - 1, int(share * len(took)))] for name, share in shares.items()}
    return told | {"ok": figures["ok"]}


def manners(lines: int, rounds: int, *, real_time: bool) -> list[dict[str, Any]]:
    """In turns, in one process."""
    runs: list[dict[str, Any]] = []
    with gateway(real_time=real_time):
        file = upload(lines)
        chats(real_time=real_time)
        for number in range(rounds):
            for has_batch in (False, True) if number % 2 == 0 else (True, False):
                batch = begin(file) if has_batch else ""
                before = awaited(batch, ("in_progress",)) if has_batch else None
                figures = chats(real_time=real_time)
                told: dict[str, Any] = {"has_batch": has_batch, "round": number, **figures}
                if before is not None:
                    after = ask("GET", f"/v1/batches/{batch}")
                    done = after["request_counts"]["completed"] - before["request_counts"]["completed"]
                    told["lines_per_s"] = done / CHAT_SECONDS
                    told["has_ended"] = after["status"] != "in_progress"
                    ask("POST", f"/v1/batches/{batch}/cancel", b"")
                    awaited(batch, ENDED)
                print("  " + "  ".join(f"{key} {value:.1f}" for key, value in told.items()), flush=True)
                runs.append(told)
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plain", action="store_true", help="not ahead of other programs of this machine")
    parser.add_argument("--out", type=Path, default=None, help="where the figures go (JSON)")
    given = parser.parse_args()
    build()
    machine.raise_open_files()
    real_time = not given.plain and machine.can_use_real_time()
    at = dt.datetime.now(dt.UTC)
    mock = subprocess.Popen(
        machine.pinned([str(WORK / "bin" / "mock"), str(MOCK_PORT)], machine.HARNESS_CPU, real_time=real_time)
    )
    try:
        alone = [overhead(given.lines, real_time=real_time) for _ in range(given.rounds)]
        for one in alone:
            print("  " + "  ".join(f"{key} {value:,.2f}" for key, value in one.items()), flush=True)
        beside = manners(min(50_000, given.lines * 5), given.rounds, real_time=real_time)
    finally:
        mock.kill()
    p99 = {has: statistics.median(one["p99"] for one in beside if one["has_batch"] is has) for has in (False, True)}
    print(f"p99 of chats: {p99[False]:.1f} ms without a batch, {p99[True]:.1f} ms beside one")
    report = {"at": at.isoformat(timespec="seconds"), "machine": machine.facts(), "real_time": real_time}
    report |= {"alone": alone, "chats": beside}
    out = given.out or BENCH / "results" / f"{at:%Y-%m-%d-%H%M}-batches.json"
    out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"written to {out}")


if __name__ == "__main__":
    main()
