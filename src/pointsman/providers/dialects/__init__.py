"""Wire formats that upstreams speak. Each module is one dialect and has the same three functions.

``target`` is where an operation is found below the address, ``encode`` and ``decode`` translate rerank bodies.
Other bodies pass through as they are, and what an error answer means is the same for all (``providers/failures.py``).
"""
