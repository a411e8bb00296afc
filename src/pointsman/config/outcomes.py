"""What comes of an attempt to change the config, and how much of that is told."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from pointsman.config.check import Problem
from pointsman.config.sources.base import SourceDown
from pointsman.telemetry.beside import beside

MAX_ERRORS = 20
MAX_ERROR_CHARS = 500
"""Of one that is told."""
MOST_PAUSE = 3600.0
"""Seconds until a version that was refused is judged again, at the most."""

log = logging.getLogger(__name__)


class Refused(Exception):
    """A snapshot that is right in itself cannot be put in force: why, without any credential."""


class Outcome(msgspec.Struct, kw_only=True):
    """What came of an attempt to change the config."""

    errors: list[str] = []
    """Why it changed nothing."""
    notes: list[str] = []
    changes: list[str] = []
    is_changed: bool = False
    is_known: bool = False
    """Nothing was tried: it is as it was when the source was judged last."""


class Refusal(msgspec.Struct):
    """Why the version that was judged last is not in force, and when that is worth another try."""

    etag: str = ""
    errors: list[str] = []
    pause: float = 0.0
    due: float = 0.0

    def note(self, etag: str, errors: list[str], now: float, interval: float, *, is_asked: bool) -> None:
        """The longer it stays the same, the longer are the pauses; asking for it changes none of them."""
        is_same = bool(errors) and etag == self.etag
        if not (is_same and is_asked):
            self.pause = min(MOST_PAUSE, self.pause * 2) if is_same else max(interval, 1.0)
            self.due = now + self.pause
        self.etag, self.errors = etag, errors

    def is_due(self, now: float, *, is_asked: bool) -> bool:
        """Whether the same version is to be judged again."""
        return bool(self.errors) and (is_asked or now >= self.due)


async def safely(step: Awaitable[Outcome]) -> Outcome:
    """What came of a step, whatever it raises; with errors that can be told."""
    try:
        outcome = await step
    except (Refused, SourceDown) as error:
        outcome = Outcome(errors=[str(error)])
    except Exception as error:
        log.exception("the config cannot be changed")
        outcome = Outcome(errors=[f"this should not happen, and the log has the trace: {type(error).__name__}"])
    outcome.errors = [cut(one) for one in outcome.errors]
    return outcome


def cut(text: str) -> str:
    """As much of an error as is told."""
    return text if len(text) <= MAX_ERROR_CHARS else text[: MAX_ERROR_CHARS - 1] + "…"


def errors_of(problems: tuple[Problem, ...]) -> list[str]:
    """As many as can be told, also to other workers."""
    found = [str(one) for one in problems if one.severity == "error"]
    more = len(found) - MAX_ERRORS
    return found if more <= 0 else [*found[:MAX_ERRORS], f"… and {more} more"]


def notes_of(problems: tuple[Problem, ...]) -> list[str]:
    """Warnings."""
    return [str(one) for one in problems if one.severity == "warning"][:MAX_ERRORS]


async def if_possible(step: Callable[[], Any], what: str, outcome: Outcome) -> None:
    """Do something in a thread that may fail, since what matters is done."""
    try:
        await beside(step)
    except OSError as error:
        why = error.strerror or "the system says no more"
    except Exception as error:
        log.exception("%s", what)
        why = type(error).__name__
    else:
        return
    log.warning("%s: %s", what, why)
    outcome.notes.append(f"{what}: {why}")
