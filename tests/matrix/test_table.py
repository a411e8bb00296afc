"""Everything that a chat can carry, between every client and every provider."""

from __future__ import annotations

from pathlib import Path

import pytest
from matrix.asked import CLIENTS, PROVIDERS
from matrix.asking import DROPPED, NONE, REFUSED, YES
from matrix.table import ANSWERED, ASKED, cells

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "dialects.md"
PUBLISHED = cells(PAGE.read_text())
ALL = {**ASKED, **ANSWERED}


@pytest.mark.requirement("dialects.matrix")
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", ALL)
def test_it_is_carried_dropped_or_refused_as_published(name: str, client: str, provider: str) -> None:
    cell = ALL[name](client, provider)
    assert cell in (YES, DROPPED, REFUSED, NONE), "it was lost on its way, and nobody was told"
    assert cell == PUBLISHED.get((name, client, provider), NONE)


def test_nothing_else_is_published() -> None:
    assert PUBLISHED.keys() <= {
        (name, client, provider) for name in ALL for client in CLIENTS for provider in PROVIDERS
    }
