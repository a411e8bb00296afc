"""The conformance suite of MCP (npm, ``@modelcontextprotocol/conformance``), as a program that is run."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from system.mcp.installing import FOLDER, node, packages

Revision = Literal["2025-11-25", "2026-07-28"]
SCORED: dict[Revision, int] = {"2025-11-25": 30, "2026-07-28": 37}
"""How many scenarios a server has to pass."""
CLIENT_SCORED: dict[Revision, int] = {"2025-11-25": 18, "2026-07-28": 32}
"""How many a client has to pass."""
SUITE_SECONDS = 500
LINE = re.compile(r"^([✓✗]) ([\w/.-]+): (\d+) passed, (\d+) failed", re.MULTILINE)
UNSCORED = re.compile(r"^  [✓✗] ([\w/.-]+) \(", re.MULTILINE)


@dataclass(frozen=True)
class Score:
    """What came of a run."""

    passed: frozenset[str]
    failed: frozenset[str]
    """Of the scenarios that count."""
    unscored: frozenset[str]
    """Scenarios that do not count, but passed."""
    text: str

    @property
    def told(self) -> str:
        """For an assertion."""
        return f"{len(self.passed)} passed, failed: {sorted(self.failed)}\n{self.text[-6000:]}"


def program() -> list[str]:
    """The command that the suite is."""
    script = packages(FOLDER / "conformance") / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    return [str(node()), str(script)]


def run_suite(side: Literal["server", "client"], revision: Revision, options: Sequence[str], home: Path) -> Score:
    """Run all scenarios of a revision."""
    command = [*program(), side, "--requirements", revision, "-o", str(home), *options]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=SUITE_SECONDS, check=False)
    return score(done.stdout + done.stderr)


def score(text: str) -> Score:
    """Read the summary that the suite prints."""
    summary = text.rpartition("=== SUMMARY ===")[2]
    unscored = set(UNSCORED.findall(summary))
    results = {name: mark == "✓" for mark, name, _, _ in LINE.findall(summary)}
    good = {name for name, is_good in results.items() if is_good}
    return Score(
        passed=frozenset(good - unscored),
        failed=frozenset(set(results) - good - unscored),
        unscored=frozenset(good & unscored),
        text=text,
    )


def run_server_suite(url: str, revision: Revision, home: Path) -> Score:
    """Run it against a server's address."""
    return run_suite("server", revision, ["--url", url], home)
