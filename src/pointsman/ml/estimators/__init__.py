"""One file for each method. They do not know each other; what several need is beside this package.

Most are a :class:`~pointsman.ml.residual.Residual`: they say how a prompt differs, and all else is done for them.
"""
