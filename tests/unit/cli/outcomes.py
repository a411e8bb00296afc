"""A small table of outcomes as JSON lines, in which it is known what a router can learn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result

from pointsman.cli import main

MODELS = ("able", "clerk", "poet", "small")
CHANCES = {"law": (0.7, 0.95, 0.2, 0.4), "poems": (0.6, 0.1, 0.95, 0.5), "sums": (0.75, 0.1, 0.2, 0.3)}
COSTS = (0.01, 0.004, 0.003, 0.001)
WORDS = {
    "law": "contract clause liable tenant court appeal statute",
    "poems": "rose moon rhyme sonnet verse summer song",
    "sums": "12 17 + 23 multiply equals 48 /",
}


def rows(count: int = 90, *, seed: int = 0, tests: int = 0) -> list[dict[str, Any]]:
    """Long rows; the last ``tests`` prompts are of the split test."""
    chance = np.random.default_rng(seed)
    found = []
    for number in range(count):
        task = sorted(CHANCES)[number % 3]
        query = f"{' '.join(chance.permutation(WORDS[task].split()))} {seed}/{number}"
        for place, model in enumerate(MODELS):
            found.append(
                {
                    "query_id": f"q/{seed}/{number}",
                    "query": query,
                    "task": task,
                    "model": model,
                    "score": float(chance.random() < CHANCES[task][place]),
                    "cost_usd": COSTS[place] * float(chance.lognormal(0, 0.2)),
                    "split": "test" if number >= count - tests else "train",
                }
            )
    return found


def write(path: Path, found: list[dict[str, Any]]) -> Path:
    """As JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return path


def run(*arguments: object) -> Result:
    """A command."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])
