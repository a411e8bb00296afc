"""Tables with ratios of medians from a results file: python bench/compare.py [FILE]."""

from __future__ import annotations

import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Run = dict[str, Any]
Report = dict[str, Any]
FEWEST_ROUNDS = 3
UNSTEADY = 1.35  # highest run over lowest: targets move by as much from session to session
SATURATED = 0.9  # below this share of its core a gateway waited for the harness or for a delay


@dataclass(frozen=True)
class Column:
    """A figure of a scenario; the first of a scenario is the one that ratios are made of."""

    key: str
    title: str
    digits: int = 0


_RATE = (Column("rps", "req/s"), Column("cpu_us_per_request", "CPU us/req", 1), Column("p50", "p50 us"))
_LONGEST = (Column("p99", "p99 us"), Column("max", "longest us"))
_CHUNK = (Column("cpu_us_per_chunk", "CPU us/chunk", 1), Column("chunks_per_s", "chunks/s"))
COLUMNS: dict[str, tuple[Column, ...]] = {
    "chat": (*_RATE, *_LONGEST),
    "key": (*_RATE, *_LONGEST),
    "chat-100k": (*_RATE, *_LONGEST),
    "embeddings": (*_RATE, *_LONGEST),
    "wait-1000": (*_RATE, *_LONGEST),
    "wait-2000": (*_RATE, *_LONGEST),
    "sse-burst": (_CHUNK[1], _CHUNK[0], Column("ttft50", "TTFT p50 us")),
    "translated": (_CHUNK[1], _CHUNK[0], Column("ttft50", "TTFT p50 us")),
    "sse-paced": (*_CHUNK, Column("chunk50", "chunk p50 us"), Column("chunk99", "chunk p99 us")),
    "ttft": (Column("ttft50", "TTFT p50 us"), Column("chunk50", "chunk p50 us")),
    "idle-streams": (Column("kib_per_stream", "KiB/stream", 1), Column("pss_before_mb", "PSS before MiB", 1)),
    "start": (
        Column("start_s", "exec to 200 s", 2),
        Column("cpu_to_first_200_s", "CPU s", 2),
        Column("import_cpu_s", "import CPU s", 2),
        Column("idle_rss_mb", "idle RSS MiB", 1),
        Column("idle_pss_mb", "idle PSS MiB", 1),
    ),
}
YARDSTICKS = ("nginx", "sglang-router", "litellm")


def one_line(run: Run) -> str:
    """A run as it is shown while the bench goes on."""
    if "broken" in run:
        return f"cannot: {run['broken']}"
    parts = [f"{c.title} {run[c.key]:,.{c.digits}f}" for c in COLUMNS[run["scenario"]] if run.get(c.key) is not None]
    if "cpu" in run:
        parts.append(f"cpu {run['cpu']:.2f} harness {run['harness_cpu']:.2f}")
    if _hung(run):
        parts.append(f"unfinished {run['unfinished']}")
    if run["failures"]:
        parts.append(f"FAILURES {run['failures']} {run.get('complaint', '')}")
    return "  ".join(parts)


class Medians:
    """The runs of a report, asked by scenario, target and figure."""

    def __init__(self, report: Report) -> None:
        self._runs: dict[tuple[str, str], list[Run]] = {}
        for run in report["runs"]:
            self._runs.setdefault((run["scenario"], run["target"]), []).append(run)

    def runs(self, scenario: str, target: str) -> list[Run]:
        return self._runs.get((scenario, target), [])

    def values(self, scenario: str, target: str, key: str) -> list[float]:
        return [run[key] for run in self.runs(scenario, target) if run.get(key) is not None]

    def median(self, scenario: str, target: str, key: str) -> float | None:
        values = self.values(scenario, target, key)
        return statistics.median(values) if values else None

    def ratio(self, scenario: str, target: str, other: str, key: str) -> float | None:
        mine, theirs = self.median(scenario, target, key), self.median(scenario, other, key)
        return mine / theirs if mine is not None and theirs else None


def tables(report: Report) -> str:
    """Markdown: one table for each scenario that was run, and the goals."""
    medians = Medians(report)
    names = [name for name, entry in report["targets"].items() if "left_out" not in entry]
    parts = [_heading(report)]
    others = (*YARDSTICKS, *report.get("beside", []))
    parts += [
        _table(medians, scenario, names, others)
        for scenario in COLUMNS
        if any(medians.runs(scenario, name) for name in names)
    ]
    parts.append(goals(report))
    return "\n\n".join(part for part in parts if part)


def _heading(report: Report) -> str:
    facts = report["machine"]
    scheduling = "real-time scheduling" if report["real_time"] else "no real-time scheduling"
    lines = [
        f"{report['at']}, {facts['cpu']}, Linux {facts['kernel']}, {report['rounds']} rounds, {scheduling}",
        "",
    ]
    for name, entry in report["targets"].items():
        if "left_out" in entry:
            lines.append(f"- {name}: left out, {entry['left_out']}")
        elif "version" in entry:
            refused = entry["wrong_key_status"] in {400, 401, 403}
            key = f"a wrong key gets {entry['wrong_key_status']}" + ("" if refused else ", so NOT ENFORCED")
            lines.append(f"- {name} {entry['version']}: {key}")
    return "\n".join(lines)


def _table(medians: Medians, scenario: str, names: list[str], yardsticks: tuple[str, ...]) -> str:
    columns = COLUMNS[scenario]
    others = [name for name in yardsticks if medians.values(scenario, name, columns[0].key)]
    titles = ["target", columns[0].title, "lowest to highest", *(f"x {name}" for name in others)]
    titles += [c.title for c in columns[1:]] + ["gateway core", "harness core", "packets lost", "failures"]
    rows = [_row(medians, scenario, name, others) for name in names if medians.runs(scenario, name)]
    head = [f"### {scenario}", "", cells(titles), cells(["---"] * len(titles))]
    return "\n".join(head + [cells(row) for row in rows])


def _row(medians: Medians, scenario: str, name: str, others: list[str]) -> list[str]:
    first, *rest = COLUMNS[scenario]
    runs = medians.runs(scenario, name)
    values = medians.values(scenario, name, first.key)
    if not values:
        return [name, f"cannot: {runs[0].get('broken', 'no figures')}"]
    row = [name, _number(medians.median(scenario, name, first.key), first.digits)]
    row.append(f"{_number(min(values), first.digits)} to {_number(max(values), first.digits)}")
    row += [_number(medians.ratio(scenario, name, other, first.key), 3) for other in others]
    row += [_number(_shown(medians, scenario, name, column.key), column.digits) for column in rest]
    row.append(_core(medians.median(scenario, name, "cpu"), scenario))
    row.append(_number(medians.median(scenario, name, "harness_cpu"), 2))
    row.append(_lost_packets(runs))
    row.append(_failures(runs))
    return row


def _lost_packets(runs: list[Run]) -> str:
    """Lost on the way or sent twice, on the whole machine: a run that stands apart may owe it to these."""
    counted = [run["losses"] for run in runs if "losses" in run]
    return str(sum(x["dropped"] + x["retransmitted"] for x in counted)) if counted else "-"


def _failures(runs: list[Run]) -> str:
    hung = sum(_hung(run) for run in runs)
    return str(sum(run.get("failures", 0) for run in runs)) + (f", and {hung} unfinished" if hung else "")


def _hung(run: Run) -> int:
    """Requests that had no end seconds after the load had ended; held streams have none by design."""
    return 0 if run["scenario"] == "idle-streams" else int(run.get("unfinished", 0))


def _shown(medians: Medians, scenario: str, name: str, key: str) -> float | None:
    """The longest request is the longest of all rounds: a median would hide the one that hung."""
    if key == "max":
        return max(medians.values(scenario, name, key), default=None)
    return medians.median(scenario, name, key)


def _core(share: float | None, scenario: str) -> str:
    if share is None or not share:
        return "-"
    is_rate = COLUMNS[scenario][0].key in {"rps", "chunks_per_s"}
    return f"{share:.2f}" + (" (not saturated)" if is_rate and share < SATURATED else "")


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def cells(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


@dataclass(frozen=True)
class Goal:
    text: str
    value: float | None
    at_least: float | None = None
    at_most: float | None = None

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not measured"
        is_low = self.at_least is not None and self.value < self.at_least
        is_high = self.at_most is not None and self.value > self.at_most
        return "MISSED" if is_low or is_high else "met"


def goals(report: Report, name: str = "pointsman") -> str:
    """What was promised, what was measured; nothing if the gateway was not in the run."""
    medians = Medians(report)
    if not any(run["target"] == name for run in report["runs"]):
        return ""
    rows = [["goal", "measured", "verdict"], ["---"] * 3]
    rows += [[goal.text, _number(goal.value, 3), goal.verdict] for goal in _goals(medians, report, name)]
    doubts = _doubts(medians, report, name)
    return "\n".join(["### goals", "", *(cells(row) for row in rows), *([""] if doubts else []), *doubts])


def _doubts(medians: Medians, report: Report, name: str) -> list[str]:
    """Why a verdict may not stand: one odd run of a yardstick turns a missed goal into a met one."""
    found = []
    if report["rounds"] < FEWEST_ROUNDS:
        found.append(f"- {report['rounds']} round(s): one odd run decides, so the verdicts are not established.")
    for scenario, target in ((s, t) for s in COLUMNS for t in (*YARDSTICKS, *report.get("beside", []), name)):
        values = medians.values(scenario, target, COLUMNS[scenario][0].key)
        if values and max(values) > min(values) * UNSTEADY:
            found.append(f"- {scenario}: the runs of {target} lie far apart, its ratios are not established.")
    return found


def _goals(medians: Medians, report: Report, name: str) -> list[Goal]:
    def ratio(scenario: str, other: str, key: str = "rps") -> float | None:
        return medians.ratio(scenario, name, other, key)

    first, base = medians.median("ttft", name, "ttft50"), medians.median("ttft", "direct", "ttft50")
    added_ms = None if first is None or base is None else (first - base) / 1000
    master, virtual = medians.median("chat", name, "rps"), medians.median("key", name, "rps")
    keyed = virtual / master if virtual and master else None
    longest = _shown(medians, "wait-2000", name, "max")
    isolated = medians.values("start", name, "isolated")
    status = report["targets"][name].get("wrong_key_status")
    return [
        Goal("chat, x litellm >= 100", ratio("chat", "litellm"), at_least=100),
        Goal("chat, x nginx >= 0.25", ratio("chat", "nginx"), at_least=0.25),
        Goal("chat, x nginx >= 0.4 (beyond)", ratio("chat", "nginx"), at_least=0.4),
        Goal("chat, x sglang-router >= 0.9", ratio("chat", "sglang-router"), at_least=0.9),
        Goal("chat with a virtual key, x chat >= 0.75", keyed, at_least=0.75),
        Goal("wait-2000, x nginx >= 0.30", ratio("wait-2000", "nginx"), at_least=0.3),
        Goal("wait-2000, x nginx >= 0.5 (beyond)", ratio("wait-2000", "nginx"), at_least=0.5),
        Goal("wait-2000, longest request <= 1 s", longest and longest / 1e6, at_most=1),
        Goal("SSE, CPU per chunk <= 2 x nginx", ratio("sse-paced", "nginx", "cpu_us_per_chunk"), at_most=2),
        Goal("SSE, added time to first token p50 <= 1 ms", added_ms, at_most=1),
        Goal("chat-100k, x nginx >= 0.35", ratio("chat-100k", "nginx"), at_least=0.35),
        Goal("idle streams, kB each <= 40", _kilobytes(medians, name), at_most=40),
        Goal("start to first 200 <= 1.0 s", medians.median("start", name, "start_s"), at_most=1),
        Goal("imports <= 0.4 s CPU", medians.median("start", name, "import_cpu_s"), at_most=0.4),
        Goal("idle RSS <= 80 MiB", medians.median("start", name, "idle_rss_mb"), at_most=80),
        Goal("starts that touched the network = 0", _touching(isolated), at_most=0),
        Goal("a wrong key gets 401", status, at_least=401, at_most=401),
        Goal("failed and unfinished requests = 0", _lost(report, name), at_most=0),
        *(Goal(f"chat, x {other} >= 0.9", ratio("chat", other), at_least=0.9) for other in report.get("beside", [])),
    ]


def _lost(report: Report, name: str) -> float:
    """A run that could not be made counts as one."""
    runs = [run for run in report["runs"] if run["target"] == name]
    return float(sum(run.get("failures", 1) + _hung(run) for run in runs))


def _kilobytes(medians: Medians, name: str) -> float | None:
    kib = medians.median("idle-streams", name, "kib_per_stream")
    return None if kib is None else kib * 1.024


def _touching(isolated: list[Any]) -> float | None:
    """How many isolated starts failed or tried to leave the machine; None if none was possible."""
    if not isolated:
        return None
    return float(sum(not one["starts"] or one["touched_network"] for one in isolated))


def newest() -> Path:
    found = sorted((Path(__file__).resolve().parent / "results").glob("*[0-9].json"))
    if not found:
        raise SystemExit("there are no results yet: run `make bench`")
    return found[-1]


if __name__ == "__main__":
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else newest()
    print(tables(json.loads(path.read_text())))
