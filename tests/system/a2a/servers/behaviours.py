"""What the agents of the tests do with a message: their SDKs differ, the deeds do not.

A message says in its own id what is wanted of it, as the compatibility kits of A2A have it: the longest prefix below
that it begins with. So any client can ask for any of them, in either version, over either binding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["submitted", "working", "input-required", "auth-required", "completed", "failed"]
Kind = Literal["text", "raw", "url", "data"]
KINDS: tuple[Kind, ...] = ("text", "raw", "url", "data")


@dataclass(frozen=True)
class Moved:
    """The task is in another state."""

    state: State
    text: str = ""
    """Of the message that comes with it."""


@dataclass(frozen=True)
class Made:
    """A piece of an artifact; all those of one name are one artifact."""

    kind: Kind
    text: str = ""
    name: str = "result"
    is_more: bool = False
    """Added to what there is of it."""
    is_last: bool = True


@dataclass(frozen=True)
class Said:
    """A message, and no task."""

    text: str


@dataclass(frozen=True)
class Waited:
    """So many seconds nothing happens."""

    seconds: float


@dataclass(frozen=True)
class Held:
    """It tells that it works, again and again, until somebody asks the agent for ``/release`` or cancels the task."""


Step = Moved | Made | Said | Waited | Held

DATA = {"key": "value", "count": 42}
FILE_URL = "https://files.example.com/output.txt"
TICK_SECONDS = 0.1
PIECES = 50
WORKING, COMPLETED = Moved("working"), Moved("completed")
BEHAVIOURS: dict[str, tuple[Step, ...]] = {
    # What both kits, and everybody else, want at once.
    "tck-complete-task": (Moved("completed", "Hello from the agent"),),
    "tck-artifact-text": (Made("text", "Generated text content"), COMPLETED),
    "tck-artifact-file": (Made("raw"), COMPLETED),
    "tck-artifact-file-url": (Made("url"), COMPLETED),
    "tck-artifact-data": (Made("data"), COMPLETED),
    "tck-message-response": (Said("Direct message response"),),
    "tck-input-required": (Moved("input-required"),),
    "tck-reject-task": (Moved("failed", "rejected"),),
    "tck-stream-001": (WORKING, Made("text", "Stream hello from TCK"), COMPLETED),
    "tck-stream-002": (COMPLETED,),
    "tck-stream-003": (WORKING, Made("text", "Stream task lifecycle"), COMPLETED),
    "tck-stream-ordering-001": (WORKING, Made("text", "Ordered output"), COMPLETED),
    "tck-stream-artifact-text": (WORKING, Made("text", "Streamed text content"), COMPLETED),
    "tck-stream-artifact-file": (WORKING, Made("raw"), COMPLETED),
    "tck-stream-artifact-chunked": (
        WORKING,
        Made("text", "chunk-1 ", is_last=False),
        Made("text", "chunk-2", is_more=True),
        COMPLETED,
    ),
    "test-resubscribe-message-id": (WORKING, Waited(4), COMPLETED),
    # What the tests here want beside that.
    "parts": (*(Made(kind, "all of them", name=kind) for kind in KINDS), COMPLETED),
    "pieces": (
        WORKING,
        *(Made("text", f"{n} ", is_more=n > 0, is_last=n == PIECES - 1) for n in range(PIECES)),
        COMPLETED,
    ),
    "hold": (Held(), Made("text", "after all"), COMPLETED),
    "login": (Moved("auth-required", "Who are you?"),),
    "broken": (WORKING, Moved("failed", "It did not work")),
}
USUAL: tuple[Step, ...] = (
    Moved("submitted"),
    Waited(0.3),
    WORKING,
    Waited(0.3),
    Made("text", "Hello World!"),
    Moved("input-required", "Hello World! What else?"),
)
"""What is done with all other messages: the task goes on with the next one, or is cancelled."""


def wanted(message_id: str) -> tuple[Step, ...]:
    """What to do with a message."""
    found = max((prefix for prefix in BEHAVIOURS if message_id.startswith(prefix)), key=len, default="")
    return BEHAVIOURS.get(found, USUAL)
