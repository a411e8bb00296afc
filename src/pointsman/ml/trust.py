"""How far predicted deviations can be trusted, learnt from prompts that were held out.

An estimator says how much better or worse than its mean each model will do on a prompt. How hard a prompt is for all
models alike is learnt well, which of two strong models has the edge badly. So deviations are multiplied by a matrix,
found in two steps:

1. What is said of all models together and what is said of each beside that are scaled by the slope of what came out on
   what was said, shrunken where few prompts speak for it (James and Stein, 1961).
2. Differences to the best single model are scaled by the largest factor whose gain over that model is credible: above
   0 at its lower bound. Where none is, the difference of each model is scaled so that no prompt is expected to leave
   the best single model.

So with few prompts the best single model is best for every prompt. Yet differences are never scaled to nothing: which
prompt loses least by a cheaper model is worth knowing even where nothing is gained by a dearer one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Floats

Doubles = NDArray[np.float64]

HIGHEST_SLOPE = 2.0
LEAST_SHARE = 0.02
FACTORS = (1.0, 0.75, 0.5, 0.25)
FAR = 6.0
"""Standard deviations from the mean."""
USUAL_SPREAD = 0.3
"""Deviation of a gain in quality where one model is taken instead of another, for when few were seen."""
USUAL_COUNT = 10.0
TINY = 1e-12


def trust(
    deviations: Floats, quality: Floats, mean: Floats, baseline: int, doubt: float, final: Floats | None = None
) -> Doubles:
    """(m, m) what held-out deviations (n, m) are to be multiplied by, given what came out; NaN where it is not known.

    ``doubt`` is how many standard errors a gain has to be above 0. The mean of the baseline is the highest.
    ``final`` (k, m) are deviations that will be said in the end, where that is by something else than was held out.
    """
    slopes = _slopes(deviations.astype(np.float64), quality.astype(np.float64) - mean)
    differences = _against(deviations @ slopes, baseline)
    gaps = mean[baseline] - mean.astype(np.float64)
    credible = (factor for factor in FACTORS if _gain(factor * differences - gaps, quality, baseline, doubt) > 0)
    factor = next(credible, None)
    if factor is not None:
        factors = np.full(len(mean), factor)
    else:
        finally_said = differences if final is None else _against(final @ slopes, baseline)
        highest = np.maximum(_highest(differences), _highest(finally_said))
        factors = np.minimum(1.0, gaps / np.maximum(highest, TINY))
    against = np.diag(factors)
    against[baseline] += 1.0 - factors
    return slopes @ against


def _against(deviations: Doubles, baseline: int) -> Doubles:
    return deviations - deviations[:, [baseline]]


def _highest(differences: Doubles) -> Doubles:
    """(m,) beyond which no prompt is expected, however unlike the known ones it is."""
    if not len(differences):
        return np.zeros(differences.shape[1])
    highest: Doubles = np.maximum(differences.max(0), differences.mean(0) + FAR * differences.std(0))
    return highest


def _slopes(deviations: Doubles, residuals: Doubles) -> Doubles:
    """(m, m) scales the mean over models, and what each differs from it."""
    count = deviations.shape[1]
    even = np.full((count, count), 1.0 / count)
    known = ~np.isnan(residuals)
    left = np.where(known, residuals, 0.0)
    together = (deviations @ even) * known
    common = _slope(together, left)
    own = (deviations - deviations @ even) * known
    apart = max(_slope(own, left - common * together), LEAST_SHARE)
    slopes: Doubles = common * even + apart * (np.eye(count) - even)
    return slopes


def _slope(said: Doubles, out: Doubles) -> float:
    """Of what came out on what was said, shrunken by its standard error; prompts are what is independent."""
    size = float((said * said).sum()) + TINY
    slope = float((said * out).sum()) / size
    errors = (said * (out - slope * said)).sum(1)
    if slope <= 0:
        return 0.0
    return min(slope * max(LEAST_SHARE, 1.0 - float(errors @ errors) / (slope * size) ** 2), HIGHEST_SLOPE)


def _gain(lead: Doubles, quality: Floats, baseline: int, doubt: float) -> float:
    """What taking the leading model (n, m) instead of the baseline gained at least, a prompt, where both are known."""
    is_best = lead >= lead.max(1, keepdims=True)
    is_best[is_best[:, baseline]] = np.arange(lead.shape[1]) == baseline
    share: Any = is_best / is_best.sum(1, keepdims=True)
    gains = (np.where(is_best, quality, 0.0) * share).sum(1) - quality[:, baseline]
    gains = gains[np.isfinite(gains)]
    if not gains.any():
        return 0.0
    squares = float(((gains - gains.mean()) ** 2).sum()) + USUAL_COUNT * USUAL_SPREAD**2
    return float(gains.mean()) - doubt * float(np.sqrt(squares)) / len(gains)
