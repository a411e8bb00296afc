"""How large a lead has to be before it counts.

A router is measured on prompts like those it learnt from, and then meets others. There a small predicted lead over the
best single model is as often wrong as right, and loses more than it wins. So a lead counts from a certain size on,
which is larger the less familiar a prompt looks, and the less those agree who were asked. What does not lead, and in
which order models follow, stays as it is: knowing for which prompts a cheaper model loses least is of use everywhere.
"""

from __future__ import annotations

import numpy as np

from pointsman.ml.base import Floats

LEAST_LEAD, UNFAMILIAR_LEAD = 0.02, 0.1
"""What is needed, and how much more where a prompt is like none of those known."""
AGREED_LEAD, UNFAMILIAR_AGREED_LEAD, DISAGREEMENT = 0.005, 0.08, 1.3
"""The same where several were asked, and how many of their standard deviations more; all of these were found by leaving
out each task of two tables in turn."""
BEHIND = 1e-3


def needed(familiarity: Floats, disagreement: Floats | None = None) -> Floats:
    """(n, 1) or (n, m) the lead that has to be exceeded.

    :param familiarity: (n,) from 0 to 1
    :param disagreement: (n, m) standard deviation of the leads, where several were asked
    """
    strange = (1 - familiarity)[:, None]
    if disagreement is None:
        return np.float32(LEAST_LEAD) + np.float32(UNFAMILIAR_LEAD) * strange
    enough: Floats = (
        AGREED_LEAD + np.float32(UNFAMILIAR_AGREED_LEAD) * strange + np.float32(DISAGREEMENT) * disagreement
    )
    return enough


def cautious(quality: Floats, baseline: int, needed: Floats) -> Floats:
    """Predictions (n, m) of which leads over the baseline model are smaller by what has to be exceeded.

    A lead that is too small ends just behind the baseline. Where the same is needed of them, models keep their order.
    """
    level = quality[:, baseline, None]
    lead = quality - level
    taken = np.minimum(np.maximum(lead, 0), needed)
    held: Floats = lead - taken
    taken /= needed
    taken -= 1
    taken *= BEHIND
    held += taken
    held[:, baseline] = 0
    held += level
    return held
