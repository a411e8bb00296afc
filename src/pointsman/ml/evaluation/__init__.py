"""What a router is worth: its choices on prompts whose outcomes are known, against what needs no router.

A :class:`~pointsman.ml.evaluation.metrics.Run` is a router's choices at each setting of its knob; ``metrics`` turns it
into figures with intervals, ``baselines`` makes the runs of what every router has to beat, ``measuring`` puts a
strategy beside them, ``report`` prints them all. ``offpolicy`` does without known outcomes, from a log of decisions.
"""
