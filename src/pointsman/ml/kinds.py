"""What kind of prompt it is: a guess, out of training data that names tasks.

Prompts of one task share what models make of them, and a guess at the task gathers the evidence of many prompts into
few numbers. So guesses are inputs like any others; nobody has to name a task at serving time. What training prompts are
told about themselves was learnt from the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Floats
from pointsman.ml.linear import Linear, ridge

FOLDS = 5
MAX_KINDS = 64
LEAST_PROMPTS = 10
PENALTY = 1.0
SHARPNESS = 6.0


def fit_kinds(inputs: Floats, tasks: Sequence[str], folds: NDArray[np.intp]) -> tuple[Linear, Floats]:
    """Learn to tell the tasks that are frequent enough; also gives (n, kinds) the guesses for the prompts themselves.

    ``folds`` (n,) says which prompts are held out together.
    """
    tasks = tasks or [""] * len(inputs)
    named = sorted(Counter(task for task in tasks if task).items(), key=lambda item: (-item[1], item[0]))
    kinds = [task for task, count in named if count >= LEAST_PROMPTS][:MAX_KINDS]
    is_of = (
        (np.array(tasks, object)[:, None] == np.array(kinds, object))
        .astype(np.float32)
        .reshape(len(inputs), len(kinds))
    )
    guesses = np.zeros_like(is_of)
    for fold in np.unique(folds):
        is_held = folds == fold
        guesses[is_held] = guess(ridge(inputs[~is_held], is_of[~is_held], PENALTY), inputs[is_held])
    return ridge(inputs, is_of, PENALTY), guesses


def guess(model: Linear, inputs: Floats) -> Floats:
    """(n, kinds) shares that come to 1; none where there are no kinds."""
    return shares_of(model(inputs))


def shares_of(said: Floats) -> Floats:
    """What :func:`guess` makes of what the model said."""
    said = SHARPNESS * said
    powers: Floats = np.exp(said - said.max(1, keepdims=True, initial=-np.inf))
    shares: Floats = powers / powers.sum(1, keepdims=True)
    return shares


def familiarity(model: Linear, inputs: Floats) -> Floats:
    """(n,) how much like prompts of one of the kinds these are, from 0 to 1; one half where there are no kinds."""
    return familiarity_of(model(inputs))


def familiarity_of(said: Floats) -> Floats:
    """What :func:`familiarity` makes of what the model said."""
    if not said.shape[1]:
        return np.full(len(said), 0.5, np.float32)
    alike: Floats = np.minimum(np.maximum(said.max(1), 0), 1)
    return alike
