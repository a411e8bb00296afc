"""What the operating system tells and is told: cores, priorities, CPU time, memory, the machine."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

GATEWAY_CPU = 0
HARNESS_CPU = 1
OPEN_FILES = 20_000
LOAD_PRIORITY = 10
HARNESS_PRIORITY = 20  # above the load, so that counters are read when they should be


def can_use_real_time() -> bool:
    """Whether processes may be kept from being disturbed by others on their core."""
    tried = subprocess.run(["chrt", "-r", str(LOAD_PRIORITY), "true"], check=False, capture_output=True)
    return tried.returncode == 0


def can_isolate() -> bool:
    """Whether a process may be started without any network but its own loopback."""
    return subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode == 0


def pinned(command: list[str], cpu: int, *, real_time: bool) -> list[str]:
    """The command bound to one core, ahead of everything else there as far as is permitted."""
    if real_time:
        ahead = ["chrt", "-r", str(LOAD_PRIORITY)]
    elif os.geteuid() == 0:
        ahead = ["nice", "-n", "-20"]
    else:
        ahead = []
    return ["taskset", "-c", str(cpu), *ahead, *command]


def raise_open_files() -> None:
    """As far as this process may, for itself and what it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def take_harness_core(*, real_time: bool) -> None:
    os.sched_setaffinity(0, {HARNESS_CPU})
    if real_time:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(HARNESS_PRIORITY))


def leave_harness_core() -> None:
    """Let this process and those that it starts from now on be scheduled like any other."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.sched_setaffinity(0, range(os.cpu_count() or 1))


def take_turns(pids: list[int]) -> None:
    """Schedule all threads of these processes fairly: of two that always want to run, real time hardly lets one."""
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setscheduler(int(task.name), os.SCHED_OTHER, os.sched_param(0))
            with contextlib.suppress(PermissionError):
                os.setpriority(os.PRIO_PROCESS, int(task.name), -20)


def family(pid: int) -> list[int]:
    """The process and everything below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        todo += children.get(one, [])
    return found


def cpu_seconds(pids: list[int]) -> float:
    """CPU time used so far, to the nanosecond; /proc/PID/stat counts in ticks of 10 ms."""
    total = 0.0
    for pid in pids:
        process_clock = (~pid << 3) | 2  # what clock_getcpuclockid(3) computes; Python does not offer it
        try:
            total += time.clock_gettime(process_clock)
        except OSError:
            continue
    return total


@dataclass(frozen=True)
class Memory:
    """Megabytes of 2^20 bytes; the share of pages used by several processes is divided in `pss`."""

    rss: float
    pss: float


def memory(pids: list[int]) -> Memory:
    kib = {"Rss:": 0, "Pss:": 0}
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, *rest = line.split()
            if name in kib:
                kib[name] += int(rest[0])
    return Memory(rss=kib["Rss:"] / 1024, pss=kib["Pss:"] / 1024)


def network_losses() -> dict[str, int]:
    """What the kernel threw away or sent twice since boot, on the whole machine.

    `dropped` packets did not fit into a core's queue, `retransmitted` segments went out again, `refused` connections
    found a full listening queue. On a loopback all of it comes from overload, and costs at least 200 ms a time.
    """
    rows = Path("/proc/net/softnet_stat").read_text().splitlines()
    found = {"dropped": sum(int(row.split()[1], 16) for row in rows)}
    for file, group, name, key in (
        ("snmp", "Tcp:", "RetransSegs", "retransmitted"),
        ("netstat", "TcpExt:", "ListenOverflows", "refused"),
    ):
        names, values = (x.split() for x in Path("/proc/net", file).read_text().splitlines() if x.startswith(group))
        found[key] = int(values[names.index(name)])
    return found


def facts() -> dict[str, str | float]:
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "cpu": model,
        "cores": os.cpu_count() or 0,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }
