"""Wire formats that upstreams speak. Each module is one dialect and has the same four functions.

``target`` is where an operation is found below the address, ``failure`` and ``failure_inside`` say what an
error answer means, ``encode`` and ``decode`` translate rerank bodies. Other bodies pass through as they are.
"""
