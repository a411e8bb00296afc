"""What the garbage collector and the allocator are told once, when everything long-lived has been built."""

from __future__ import annotations

import ctypes
import gc

YOUNG_OBJECTS = 20_000
"""A request in flight is a few dozen objects that live for seconds: looking at them every 700 allocations finds
nothing and, with two thousand of them in flight, costs a tenth of the throughput."""

# mallopt(3). Bodies of a hundred kilobytes come and go with every request; by default each would be given back to the
# kernel and be asked for again, page fault by page fault, which costs a fifth of the throughput of large prompts.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
KEPT_BYTES = 16 * 1024 * 1024
PAD_BYTES = 1024 * 1024
MAPPED_BYTES = 4 * 1024 * 1024


def tune_process() -> None:
    """Freeze what is alive, collect rarely, and keep freed memory at hand, within bounds."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # Only glibc has it; elsewhere the allocator is left as it is.
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_TOP_PAD, PAD_BYTES)
        mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)
