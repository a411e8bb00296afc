"""Ids of the tool calls of an answer, found in its bytes without parsing them.

Results of tools are sent with these ids, so they tell whose calls are answered. What is found may also hold ids of
other things, which no result names: they do no harm.
"""

from __future__ import annotations

import re
from typing import Final

MAX_SCANNED: Final = 256 * 1024
"""Bytes, from the first call on."""
MAX_IDS: Final = 64
BEFORE: Final = 512
"""Bytes before what tells of a call, in which its id may stand."""
_CALL: Final = re.compile(rb'"(?:tool_calls|tool_use|function_call|custom_tool_call|functionCall)"')
_ID: Final = re.compile(rb'"(?:id|call_id)"[ \t\r\n]*+:[ \t\r\n]*+"([^"\\\x00-\x1f]{1,256})"')


def call_ids(data: bytes) -> list[str]:
    """Of an answer, or of a piece of a streamed one, in any dialect; each once, at most :data:`MAX_IDS`."""
    if b"_call" not in data and b"tool_use" not in data and b"functionCall" not in data:
        return []
    call = _CALL.search(data)
    if call is None:
        return []
    start = max(0, call.start() - BEFORE)
    found: dict[str, None] = {}
    for one in _ID.finditer(data, start, start + MAX_SCANNED):
        found[one[1].decode("utf-8", "replace")] = None
        if len(found) == MAX_IDS:
            break
    return list(found)
