"""What clients see of faults, overload and restarts: python bench/faults.py --help."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

# Run as a script, the folder itself is on the path and these are not.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import machine, programs
from bench.compare import Goal, cells
from bench.failing import amplification, failover, hedging
from bench.leaving import disconnects, restarts
from bench.overload import overload
from bench.parts import Case, Setting

SCENARIOS: dict[str, Callable[[Setting], Iterator[Case]]] = {
    "failover": failover,
    "amplification": amplification,
    "hedging": hedging,
    "overload": overload,
    "disconnects": disconnects,
    "restarts": restarts,
}
ON_BOTH_CORES = {"restarts"}


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What clients see of faults; see docs/explain/bench.md.")
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help="with commas between")
    parser.add_argument("--quick", action="store_true", help="small sizes, kept out of bench/results")
    parser.add_argument("--out", type=Path, default=None, help="where the figures go (JSON)")
    parser.add_argument("--show", type=Path, default=None, help="measure nothing, print the table of this file")
    given = parser.parse_args()
    given.scenarios = given.scenarios.split(",")
    for name in given.scenarios:
        if name not in SCENARIOS:
            parser.error(f"{name!r} is not one of {', '.join(SCENARIOS)}")
    return given


def measure(names: list[str], setting: Setting) -> Iterator[Case]:
    for name in names:
        print(f"\n{name}", flush=True)
        if name in ON_BOTH_CORES:
            machine.leave_harness_core()
        else:
            machine.take_harness_core(real_time=setting.real_time)
        for case in cases_of(name, setting):
            shown = "  ".join(f"{key} {shown_value(value)}" for key, value in case.figures.items())
            print(f"  {case.name}: {shown}", flush=True)
            yield case


def cases_of(name: str, setting: Setting) -> Iterator[Case]:
    """Those of one scenario; where it breaks off, the last one says why."""
    try:
        yield from SCENARIOS[name](setting)
    except (AssertionError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        broken = Case(name, "broke off", {"why": str(error)[:300]})
        broken.at_most("scenarios that broke off", 1, 0)
        yield broken


def table(report: dict[str, Any]) -> str:
    """Markdown: one table for each scenario that was run, and the goals."""
    lines = [f"{report['at']}, {report['machine']['cpu']}, Linux {report['machine']['kernel']}"]
    for scenario in SCENARIOS:
        cases = [case for case in report["cases"] if case["scenario"] == scenario]
        names = list(dict.fromkeys(name for case in cases for name in case["figures"]))
        if cases:
            lines += ["", f"### {scenario}", "", cells(["", *names]), cells(["---"] * (len(names) + 1))]
        for case in cases:
            lines.append(cells([case["name"], *(shown_value(case["figures"].get(name)) for name in names)]))
    lines += ["", "### goals", "", cells(["goal", "measured", "verdict"]), cells(["---"] * 3)]
    goals = [Goal(**goal) for case in report["cases"] for goal in case["goals"]]
    lines += [cells([goal.text, shown_value(goal.value), goal.verdict]) for goal in goals]
    return "\n".join(lines)


def shown_value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "-" if value is None else str(value)


def main() -> int:
    options = read_options()
    if options.show:
        print(table(json.loads(options.show.read_text())))
        return 0
    machine.raise_open_files()
    programs.build()
    setting = Setting(real_time=machine.can_use_real_time(), is_quick=options.quick)
    now = dt.datetime.now(dt.UTC)
    folder = programs.WORK if options.quick else programs.BENCH / "results"
    out: Path = options.out or folder / f"{now:%Y-%m-%d-%H%M}-faults.json"
    report: dict[str, Any] = {
        "at": now.isoformat(timespec="seconds"),
        "machine": machine.facts(),
        "real_time": setting.real_time,
        "cases": [],
    }
    try:
        for case in measure(options.scenarios, setting):
            report["cases"].append(asdict(case))
    finally:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\n{table(report)}\nfigures: {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
