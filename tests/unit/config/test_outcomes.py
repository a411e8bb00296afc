from __future__ import annotations

import pytest

from pointsman.config.check import Problem
from pointsman.config.outcomes import (
    MAX_ERROR_CHARS,
    MAX_ERRORS,
    Outcome,
    Refusal,
    Refused,
    errors_of,
    if_possible,
    notes_of,
    safely,
)
from pointsman.config.sources.base import SourceDown
from pointsman.edge.line import MAX_MESSAGE_BYTES, packed


def problems(count: int, severity: str = "error") -> tuple[Problem, ...]:
    return tuple(Problem(severity=severity, what=f"wrong {n}", file="f", line=1, column=1) for n in range(count))  # type: ignore[arg-type]


async def failing(error: Exception) -> Outcome:
    raise error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Refused("no checkpoint"), "no checkpoint"),
        (SourceDown("no answer", "look"), "no answer (look)"),
        (RuntimeError("sk-secret"), "this should not happen, and the log has the trace: RuntimeError"),
        (Refused("x" * 9999), "x" * (MAX_ERROR_CHARS - 1) + "…"),
    ],
    ids=["refused", "down", "bug", "long"],
)
async def test_what_a_step_raises_is_what_came_of_it(error: Exception, told: str) -> None:
    assert (await safely(failing(error))).errors == [told]


async def test_what_fails_when_all_is_done_is_a_note() -> None:
    outcome = Outcome()

    def full() -> None:
        raise OSError(28, "No space left on device")

    await if_possible(full, "it cannot be kept", outcome)
    await if_possible(lambda: None, "it cannot be kept", outcome)
    assert outcome.notes == ["it cannot be kept: No space left on device"]


def test_of_many_errors_some_are_told_and_how_many_there_are() -> None:
    assert len(errors_of(problems(MAX_ERRORS))) == MAX_ERRORS
    told = errors_of(problems(MAX_ERRORS + 3))
    assert (len(told), told[-1]) == (MAX_ERRORS + 1, "… and 3 more")
    assert errors_of(problems(3, "warning")) == []
    assert len(notes_of(problems(MAX_ERRORS + 3, "warning"))) == MAX_ERRORS


def test_errors_of_any_letters_fit_into_a_message_to_other_workers() -> None:
    most = ["\x01" * MAX_ERROR_CHARS] * (MAX_ERRORS + 1)
    assert len(packed({"errors": most, "last_error": {"errors": most}})) < MAX_MESSAGE_BYTES - 2000


def test_pauses_grow_while_a_version_stays_refused_and_begin_anew_with_another() -> None:
    refusal, pauses = Refusal(), []
    for etag in "aaab":
        refusal.note(etag, ["no"], 100.0, 30.0, is_asked=False)
        pauses.append(refusal.pause)
    assert pauses == [30.0, 60.0, 120.0, 30.0]
    assert not refusal.is_due(129.0, is_asked=False)
    assert refusal.is_due(129.0, is_asked=True)
    assert refusal.is_due(130.0, is_asked=False)
    refusal.note("b", [], 100.0, 30.0, is_asked=False)
    assert not refusal.is_due(999.0, is_asked=True)


def test_who_asks_puts_no_try_off() -> None:
    refusal = Refusal()
    refusal.note("a", ["no"], 100.0, 30.0, is_asked=True)
    for now in (101.0, 102.0, 103.0):
        refusal.note("a", ["no, still"], now, 30.0, is_asked=True)
    assert (refusal.pause, refusal.due, refusal.errors) == (30.0, 130.0, ["no, still"])
    refusal.note("a", ["no"], 130.0, 30.0, is_asked=False)
    assert (refusal.pause, refusal.due) == (60.0, 190.0)
