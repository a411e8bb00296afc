"""Estimators from elsewhere: whether a class, and what it says, are what the rest relies on.

Finding and importing ``module:Class`` is not done here.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import numpy as np

from pointsman.ml.base import Scores

METHODS = {"fit": 2, "score": 1, "state": 0, "from_state": 1}
"""What an estimator can be asked, and with how many values."""


def problems_of(candidate: object) -> list[str]:
    """Why this cannot be an estimator; empty if it can, as far as that is to be seen without running it."""
    if not isinstance(candidate, type):
        return [f"{candidate!r} is not a class"]
    return list(_problems_of_class(candidate))


def _problems_of_class(candidate: type) -> Iterator[str]:
    name = getattr(candidate, "NAME", None)
    if not isinstance(name, str) or not name:
        yield "NAME has to be a text"
    if not _can_take(candidate, 0):
        yield "it has to be made without values"
    for method, count in METHODS.items():
        found = getattr(candidate, method, None)
        if not callable(found):
            yield f"there is no method {method}"
        elif not _can_take(found, count + (method != "from_state")):
            yield f"{method} has to take {count} values"
    is_of_class = isinstance(inspect.getattr_static(candidate, "from_state", None), classmethod | staticmethod)
    if callable(getattr(candidate, "from_state", None)) and not is_of_class:
        yield "from_state has to be a class method"


def _can_take(found: object, count: int) -> bool:
    try:
        inspect.signature(found).bind(*[None] * count)  # type: ignore[arg-type]
    except TypeError:
        return False
    except ValueError:  # built in, and silent about what it takes
        return True
    return True


def check_scores(scores: Scores, prompts: int, models: int) -> None:
    """Make sure that scores can be decided by.

    :raises ValueError: a shape is wrong, a value is no number, or out of its bounds
    """
    for name, highest in (("quality", 1.0), ("variance", np.inf), ("cost_usd", np.inf)):
        values = getattr(scores, name)
        if getattr(values, "shape", None) != (prompts, models):
            raise ValueError(f"{name} is not an array of {prompts} x {models}")
        if not np.issubdtype(values.dtype, np.floating) or not np.isfinite(values).all():
            raise ValueError(f"{name} holds what is no number")
        if (values < 0).any() or (values > highest).any():
            raise ValueError(f"{name} has to be from 0 to {highest:g}" if highest == 1 else f"{name} is negative")
