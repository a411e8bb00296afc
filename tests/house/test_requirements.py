from __future__ import annotations

import re
from pathlib import Path

from requirements import REQUIREMENTS

TESTS = Path(__file__).parents[1]
CLAIM = re.compile(r"mark\.requirement\(([^)]*)\)")


def claims() -> set[str]:
    found: set[str] = set()
    for path in TESTS.rglob("test_*.py"):
        for arguments in CLAIM.findall(path.read_text()):
            found.update(re.findall(r'"([^"]+)"', arguments))
    return found


def test_every_promise_is_claimed_by_a_test() -> None:
    assert sorted(set(REQUIREMENTS) - claims()) == []


def test_every_claim_is_of_a_known_promise() -> None:
    assert sorted(claims() - set(REQUIREMENTS)) == []
