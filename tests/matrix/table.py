"""The table of everything that is carried, dropped and refused: made by trying it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from matrix.answered import ANSWERS
from matrix.answering import answer, fail, give_back
from matrix.asked import CLIENTS, MODELS, PROVIDERS
from matrix.asking import FEATURES, NONE, ask

Decide = Callable[[str, str], str]
"""What becomes of one thing between a client and a provider."""

ASKED: Final[Mapping[str, Decide]] = MappingProxyType({each.name: partial(ask, each) for each in FEATURES})
ANSWERED: Final[Mapping[str, Decide]] = MappingProxyType(
    {each.name: partial(answer, each) for each in ANSWERS}
    | {"reasoning given back to who made it": give_back, "failure in the middle of a stream": fail}
)

_INTRODUCTION: Final = """# Dialects

Clients of each dialect (second column) get answers from providers of each dialect (the other columns). Where the two
are the same nothing is translated: the bodies pass as they are, and the cell only says what the translation would do.
Every cell is what the code does when it is tried; the tests try all of them. A client that is not in a row cannot say
such a thing.

| cell | means |
|---|---|
| yes | the other side gets it in its own form |
| dropped | the other side has no such thing, and the answer means the same without it |
| refused | the other side has no such thing: a 400 names the parameter, `drop_params: true` leaves it out |
| - | the dialect that it would come from cannot say it |

What can be said depends on the model too. The models here are {models}.
"""
_REQUESTS: Final = """
## What clients ask for
"""
_ANSWERS: Final = """
## What providers answer

Whole and streamed. Clients of `completions` get texts only.
"""


def page() -> str:
    """The page of the documentation."""
    models = ", ".join(f"`{model}` ({name})" for name, model in MODELS.items())
    return "\n".join([_INTRODUCTION.format(models=models) + _REQUESTS, *_rows(ASKED), _ANSWERS, *_rows(ANSWERED), ""])


def cells(page_text: str) -> dict[tuple[str, str, str], str]:
    """The cells that a page shows, by what it is about, client and provider."""
    found: dict[tuple[str, str, str], str] = {}
    for line in page_text.splitlines():
        name, *rest = (each.strip() for each in line.strip("|").split("|"))
        if line.startswith("|") and len(rest) == 1 + len(PROVIDERS):
            columns = list(zip(PROVIDERS, rest[1:], strict=True))
            found |= {
                (name, client, provider): cell
                for client in rest[0].split(", ")
                if client in CLIENTS
                for provider, cell in columns
            }
    return found


def _rows(decisions: Mapping[str, Decide]) -> list[str]:
    rows = [f"| | client | {' | '.join(PROVIDERS)} |", "|---" * (2 + len(PROVIDERS)) + "|"]
    for name, decide in decisions.items():
        clients: dict[tuple[str, ...], list[str]] = {}
        for client in CLIENTS:
            decided = tuple(decide(client, provider) for provider in PROVIDERS)
            if any(cell != NONE for cell in decided):
                clients.setdefault(decided, []).append(client)
        rows += [f"| {name} | {', '.join(these)} | {' | '.join(decided)} |" for decided, these in clients.items()]
    return rows
