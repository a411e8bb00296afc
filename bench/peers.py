"""Peers live in environments of their own below work/peers, made on demand, pinned in targets.json."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from bench.programs import WORK

INSTALL_LIMIT = 1200


def home(name: str) -> Path:
    return WORK / "peers" / name / ".venv"  # a hidden folder is left alone by linters and type checkers


def obtain(name: str, requirements: list[str]) -> str | None:
    """Install what is not there yet; returns why that failed."""
    place, wanted = home(name), "\n".join(requirements)
    stamp = place / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return None
    print(f"{name}: installing {', '.join(requirements)}", flush=True)
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        if not (place / "bin" / "python").exists():
            subprocess.run([sys.executable, "-m", "venv", str(place)], check=True, timeout=INSTALL_LIMIT)
        done = subprocess.run([*pip, *requirements], check=False, timeout=INSTALL_LIMIT, capture_output=True, text=True)
    except (OSError, subprocess.SubprocessError) as error:
        return f"cannot be installed: {error}"
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["pip gave no reason"]
        return f"cannot be installed: {lines[-1]}"
    stamp.write_text(wanted)
    return None


def version(name: str, requirements: list[str], command: list[str]) -> str:
    """What was measured, as its own tool names it."""
    if requirements:
        package = requirements[0].partition("==")[0].partition("[")[0]
        ask = f"from importlib.metadata import version; print(version({package!r}))"
        return _first_line([str(home(name) / "bin" / "python"), "-c", ask])
    if name == "nginx":
        return _first_line([command[0], "-v"]).rpartition("/")[2]
    return _first_line([command[0], "--version"])


def revision(folder: str) -> str:
    """The commit of a checkout, and whether it was changed since; its place if it is none."""
    git = ["git", "-C", folder]
    if Path(_first_line([*git, "rev-parse", "--show-toplevel"])) != Path(folder):
        return folder
    return _first_line([*git, "describe", "--always", "--dirty", "--abbrev=7"])


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return ((done.stdout + done.stderr).strip().splitlines() or ["unknown"])[0]


def is_there(program: str) -> bool:
    return shutil.which(program) is not None
