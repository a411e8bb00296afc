"""Measure gateways side by side: python bench/run.py --help."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# Run as a script, the folder itself is on the path and the one above is not.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import compare, machine, peers, programs, scenarios, startup
from bench.scenarios import SCENARIOS, Figures, Scenario
from bench.servers import Server, Target, ask, beside, read_targets

OWN = "pointsman"
ROUNDS = 3
QUICK_SECONDS = 2


@dataclass(frozen=True)
class Options:
    targets: list[str]
    scenarios: list[str]
    rounds: int
    is_quick: bool
    out: Path
    beside: dict[str, Path]


def read_options(known: list[str]) -> Options:
    parser = argparse.ArgumentParser(description="Measure gateways side by side; see docs/explain/bench.md.")
    parser.add_argument("--only", default=",".join(known), help="targets, with commas between")
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help="scenarios, with commas between")
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--quick", action="store_true", help="one round of short runs, kept out of bench/results")
    parser.add_argument("--out", type=Path, default=None, help="where the figures go (JSON)")
    parser.add_argument(
        "--beside",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="measure the gateway of another checkout as well; may be given more than once",
    )
    given = parser.parse_args()
    other = {name: Path(path).resolve() for name, _, path in (word.partition("=") for word in given.beside)}
    for name, path in other.items():
        if name in known or not (path / "src" / "pointsman").is_dir():
            parser.error(f"--beside {name}: wants a name of its own, and a folder with src/pointsman")
    chosen, wanted = given.only.split(","), given.scenarios.split(",")
    for name, allowed in [*((x, known) for x in chosen), *((x, list(SCENARIOS)) for x in wanted)]:
        if name not in allowed:
            parser.error(f"{name!r} is not one of {', '.join(allowed)}")
    stamp = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d-%H%M")
    folder = programs.WORK if given.quick else programs.BENCH / "results"
    return Options(
        targets=[*chosen, *other],
        scenarios=wanted,
        rounds=given.rounds or (1 if given.quick else ROUNDS),
        is_quick=given.quick,
        out=given.out or folder / f"{stamp}.json",
        beside=other,
    )


class Bench:
    """One session: the mock and all targets are up, all but the one being measured asleep."""

    def __init__(self, options: Options, *, real_time: bool) -> None:
        self._options = options
        self._harness = programs.Harness(real_time=real_time)
        self._real_time = real_time
        self._servers: list[Server] = []
        self._unable: set[tuple[str, str]] = set()
        self.report: dict[str, Any] = {
            "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "machine": machine.facts(),
            "real_time": real_time,
            "rounds": options.rounds,
            "targets": {},
            "beside": list(options.beside),
            "runs": [],
        }

    def admit(self, target: Target) -> None:
        """Start the target, or note in one line why it is left out."""
        entry: dict[str, Any] = {}
        self.report["targets"][target.name] = entry
        server = Server(target, real_time=self._real_time)
        server.forget()
        try:
            server.start()
        except (OSError, RuntimeError) as error:
            entry["left_out"] = str(error)
            print(f"{target.name}: left out, {error}", flush=True)
            return
        if server.has_process:
            entry["version"] = (
                peers.revision(target.source)
                if target.source
                else peers.version(target.name, target.install, target.command)
            )
            entry["wrong_key_status"] = server.wrong_key_status()
            server.calm_down()
        server.sleep()
        self._servers.append(server)
        print(f"{target.name}: {entry.get('version', 'the mock itself')}", flush=True)

    def measure(self, scenario: Scenario) -> None:
        print(f"\n{scenario.what}", flush=True)
        for number in range(self._options.rounds):
            # Each round begins with another target, so that none always follows the same neighbour.
            shift = number % max(1, len(self._servers))
            for server in self._servers[shift:] + self._servers[:shift]:
                self._measure_one(server, scenario.for_target(server), number)

    def _measure_one(self, server: Server, scenario: Scenario, number: int) -> None:
        name = server.target.name
        is_meant = scenario.only in (None, name) and (server.has_process or scenario.has_direct)
        if not is_meant or (name, scenario.name) in self._unable:
            return
        server.wake()
        try:
            figures = self._figures(server, scenario, number)
        except (OSError, RuntimeError, ValueError) as error:
            figures = {"broken": str(error)[:300]}
            self._unable.add((name, scenario.name))
        finally:
            server.sleep()
        run = {"scenario": scenario.name, "target": name, "round": number, **figures}
        self.report["runs"].append(run)
        print(f"  {number + 1} {name:14} {compare.one_line(run)}", flush=True)

    def _figures(self, server: Server, scenario: Scenario, number: int) -> Figures:
        if scenario.name == "start":
            return startup.run_start(server, real_time=self._real_time, is_first=number == 0)
        if scenario.is_fresh and server.has_process:
            server.restart()
            server.calm_down()
        if scenario.name == "idle-streams":
            return scenarios.run_idle_streams(server, scenario, self._harness)
        if number == 0 and scenario.load.key != programs.MASTER_KEY:
            server.make_key()
        if number == 0 and (status := server.status_of(scenario.load)) != 200:
            raise RuntimeError(f"answers {status} to this request")
        figures = scenarios.run_load(server, scenario, self._harness)
        if scenario.load.key != programs.MASTER_KEY and (folded := server.folded()):
            raise RuntimeError(f"{folded} events of the ledger were added up instead of written")
        return figures

    def close(self) -> None:
        for server in self._servers:
            server.stop()
        self._harness.close()


def shortened(scenario: Scenario) -> Scenario:
    load = scenario.load
    if load.mode == "hold":
        return scenario
    return replace(scenario, load=replace(load, seconds=min(load.seconds, QUICK_SECONDS)), warm_up=0.5)


def obtain(targets: dict[str, Target], chosen: list[str]) -> tuple[list[Target], dict[str, str]]:
    """Install the peers; returns what can be started and why the others cannot."""
    ready, absent = [], {}
    for target in (targets[name] for name in chosen):
        why = peers.obtain(target.name, target.install) if target.install else None
        if not why and target.command and not peers.is_there(target.command[0]):
            why = f"{target.command[0]} is not there: {target.missing}"
        if why:
            absent[target.name] = why
            print(f"{target.name}: left out, {why}", flush=True)
        else:
            ready.append(target)
    return ready, absent


def await_mock() -> None:
    for _ in range(200):
        if ask(programs.MOCK_PORT, programs.CHAT, b"{}") == 200:
            return
        time.sleep(0.01)
    raise SystemExit(f"the mock does not answer on port {programs.MOCK_PORT}")


def main() -> int:
    targets = read_targets(programs.BENCH / "targets.json")
    options = read_options(list(targets))
    for number, (name, folder) in enumerate(options.beside.items(), start=1):
        targets[name] = beside(targets[OWN], name, folder, targets[OWN].port + number)
    machine.raise_open_files()
    programs.build()
    ready, absent = obtain(targets, options.targets)
    real_time = machine.can_use_real_time()
    machine.take_harness_core(real_time=real_time)
    if ask(programs.MOCK_PORT, programs.CHAT, b"{}", timeout=1):
        raise SystemExit(f"port {programs.MOCK_PORT} is already taken")
    bench = Bench(options, real_time=real_time)
    bench.report["targets"] |= {name: {"left_out": why} for name, why in absent.items()}
    try:
        await_mock()
        for target in ready:
            bench.admit(target)
        for name in options.scenarios:
            scenario = SCENARIOS[name]
            bench.measure(shortened(scenario) if options.is_quick else scenario)
    finally:
        bench.close()
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(bench.report, indent=1) + "\n")
    print(f"\n{compare.tables(bench.report)}\nfigures: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
