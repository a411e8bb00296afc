"""What of a client's request goes on to an agent beside its parameters."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from pointsman.a2a.base import Call
from pointsman.a2a.settings import AgentSettings
from pointsman.access.places import FRAMING, OURS, PROTOCOLS

EXTENSIONS: Final = "a2a-extensions"
ALWAYS: Final = ("traceparent", "tracestate")


def headers_for(call: Call, settings: AgentSettings, ours: Collection[str] = ()) -> dict[str, str]:
    """Lower-cased names and values; ``ours`` are more headers that hold a credential for this gateway."""
    found = {EXTENSIONS: ", ".join(call.extensions)} if call.extensions else {}
    for name in (*ALWAYS, *settings.forward_headers):
        lower = name.lower()
        value = call.headers.get(lower.encode("latin-1", "replace"))
        if value is not None and lower not in FRAMING | OURS and lower not in ours and not lower.startswith(PROTOCOLS):
            found[lower] = value.decode("latin-1")
    return found
