"""The C programs and what they are fed: building, request bodies, one run of the load generator."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from bench import machine

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
WORK = BENCH / "work"
MASTER_KEY = "sk-bench-master-0123456789abcdef"
VIRTUAL_KEY = "sk-bench-virtual-0123456789abcdef"
MOCK_PORT = 9000
CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
GROUP = "m"  # what the fault scenarios call their group of deployments
LOAD_OVERTIME = 40  # seconds for connecting and for the requests still open at the end


def build() -> None:
    """Compile what is older than its source, and write the request bodies."""
    (WORK / "bin").mkdir(parents=True, exist_ok=True)
    (WORK / "nginx-temp").mkdir(exist_ok=True)
    for name in ("mock", "load"):
        source, program = BENCH / f"{name}.c", WORK / "bin" / name
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-o", str(program), str(source)], check=True)
    for name, body in _bodies().items():
        (WORK / f"{name}.json").write_text(json.dumps(body))


def _bodies() -> dict[str, dict[str, Any]]:
    return {
        "chat": _chat(900),
        "chat-100k": _chat(100_000),
        "chat-wait": _chat(900, marker="@delay=60 "),
        "sse-burst": _chat(900, stream=True),
        "translated": _chat(900, stream=True) | {"model": "claude-sonnet-4-5"},
        "sse-paced": _chat(900, stream=True, marker="@gap=20 "),
        "sse-hold": _chat(900, stream=True, marker="@hold "),
        "group": _chat(900) | {"model": GROUP},
        "group-stream": _chat(900, stream=True) | {"model": GROUP},
        "embeddings": {
            "model": "text-embedding-3-small",
            "input": "the quick brown fox jumps over a lazy dog",
        },
    }


def _chat(prompt_bytes: int, *, stream: bool = False, marker: str = "") -> dict[str, Any]:
    prompt = ("the quick brown fox jumps over a lazy dog " * (prompt_bytes // 42 + 1))[:prompt_bytes]
    body: dict[str, Any] = {
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": f"{marker}You are a helpful assistant."},
            {"role": "user", "content": prompt},
        ],
        "temperature": 0.7,
        "max_tokens": 256,
    }
    return body | {"stream": True} if stream else body


@dataclass(frozen=True)
class Load:
    """One order for the load generator; see the head of load.c for the modes."""

    mode: str
    path: str
    body: str
    connections: int
    seconds: float
    key: str = MASTER_KEY
    rate: float = 0  # requests a second, of the mode open
    samples: Path | None = None  # where that mode writes them


def start_load(load: Load, port: int, *, real_time: bool) -> subprocess.Popen[str]:
    command = [
        str(WORK / "bin" / "load"),
        load.mode,
        str(port),
        load.path,
        str(WORK / f"{load.body}.json"),
        f"Authorization: Bearer {load.key}",
        str(load.connections),
        str(load.seconds),
    ]
    if load.samples is not None:
        command += [str(load.rate), str(load.samples)]
    pipe = subprocess.PIPE
    pinned = machine.pinned(command, machine.HARNESS_CPU, real_time=real_time)
    return subprocess.Popen(pinned, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def expect_line(stream: IO[str] | None, word: str) -> None:
    line = stream.readline().strip() if stream else ""
    if line != word:
        raise RuntimeError(f"the load generator said {line!r} where {word!r} was expected")


def result(process: subprocess.Popen[str], seconds: float) -> dict[str, Any]:
    """The figures of a run; what went wrong first is under `complaint`."""
    try:
        out, complaint = process.communicate(timeout=seconds + LOAD_OVERTIME)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    figures: dict[str, Any] = json.loads(out.splitlines()[-1])
    if complaint.strip():
        figures["complaint"] = complaint.strip()[:400]
    return figures


def environment(additions: dict[str, str]) -> dict[str, str]:
    """For what is measured: with the switch that forbids Python to keep compiled modules, each start compiles."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return kept | additions


class Harness:
    """What stands on both sides of a gateway: the load generator and the mock, on one core."""

    def __init__(self, *, real_time: bool) -> None:
        self._real_time = real_time
        command = [str(WORK / "bin" / "mock"), str(MOCK_PORT)]
        self._mock = subprocess.Popen(machine.pinned(command, machine.HARNESS_CPU, real_time=real_time))

    def start_load(self, load: Load, port: int) -> subprocess.Popen[str]:
        return start_load(load, port, real_time=self._real_time)

    def mock_seconds(self) -> float:
        """CPU time of the mock so far."""
        return machine.cpu_seconds([self._mock.pid])

    @staticmethod
    def load_seconds() -> float:
        """CPU time of all load generators that have ended."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return ended.ru_utime + ended.ru_stime

    def close(self) -> None:
        self._mock.terminate()
        self._mock.wait()
