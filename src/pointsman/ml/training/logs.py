"""Outcomes out of the gateway's own decision log: who answered, what it cost, and how it was rated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pointsman.ml import decisionlog
from pointsman.ml.decisionlog import MAX_LINE_BYTES, Entry
from pointsman.ml.training.gathering import BadData, Gathering, Outcome


def entries(paths: Sequence[Path]) -> tuple[list[Entry], int]:
    """The requests of a log, and how many of its lines say nothing. The files are in the order of their names.

    :raises BadData: a file cannot be read
    """
    return decisionlog.read(_lines(sorted(paths, key=lambda path: path.name)))


def read(paths: Sequence[Path], gathering: Gathering) -> None:
    """The requests whose prompts were kept. One that was not rated has a cost and no score.

    :raises BadData: a file cannot be read, or no prompt was kept
    """
    found, lost = entries(paths)
    kept = [entry for entry in found if entry.decided.prompt]
    if found and not kept:
        raise BadData(paths[0].name, "keeps no prompts: switch on log_prompts to train on what comes")
    for entry in kept:
        gathering.add(f"request {entry.decided.id}", outcome_of(entry))
    if len(kept) < len(found):
        gathering.notes.append(
            f"{len(found) - len(kept):,} logged requests are left out, as their prompts are not kept"
        )
    if lost:
        gathering.notes.append(f"{lost:,} lines of the log could not be read")


def outcome_of(entry: Entry) -> Outcome:
    """A logged request as it is gathered."""
    settled = entry.settled
    return Outcome(
        prompt=entry.decided.prompt or "",
        model=entry.served,
        score=entry.score,
        user=entry.decided.user or "",
        cost_usd=None if settled is None else settled.cost_usd,
        prompt_tokens=None if settled is None else settled.prompt_tokens,
        completion_tokens=None if settled is None else settled.completion_tokens,
    )


def _lines(paths: Sequence[Path]) -> Iterator[bytes]:
    for path in paths:
        try:
            with path.open("rb") as file:
                while line := file.readline(MAX_LINE_BYTES):
                    yield line
        except OSError as error:
            raise BadData(str(path), f"cannot be read: {error.strerror}") from error
