"""What a model says, for the providers and the clients of the table."""

from __future__ import annotations

from typing import Final

import msgspec

TEXT: Final = "Hello wörld"
HALVES: Final = ("Hello ", "wörld")
REFUSAL: Final = "I cannot do that."
THOUGHT: Final = "Let me see."
SEAL: Final = "c2VhbGVk"
PICTURE: Final = "iVBORw0KGgo="
SOURCE: Final = "https://example.com/world"
TITLE: Final = "World"
TOKEN: Final = "Hello"
LOGPROB: Final = -0.25
FAILURE: Final = "Nobody is at home"
INPUT, OUTPUT, CACHED, WRITTEN, REASONED = 100, 40, 60, 10, 15


class Call(msgspec.Struct, frozen=True):
    """A tool call; its arguments come in two pieces."""

    id: str
    name: str
    city: str

    @property
    def pieces(self) -> tuple[str, str]:
        """JSON text of the arguments, in two pieces."""
        return '{"city":', f'"{self.city}"}}'

    @property
    def text(self) -> str:
        """JSON text of the arguments."""
        return "".join(self.pieces)

    @property
    def arguments(self) -> dict[str, str]:
        """The arguments."""
        return {"city": self.city}


ROME: Final = Call("call_1", "weather", "Rome")
OSLO: Final = Call("call_2", "weather", "Oslo")


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, as no provider writes it."""

    text: str | None = TEXT
    refusal: bool = False
    thinking: bool = False
    sealed: bool = False
    calls: tuple[Call, ...] = ()
    picture: bool = False
    cited: bool = False
    logprobs: bool = False
    finish: str = "stop"
    """``stop``, ``length``, ``content_filter`` or ``stop_sequence``."""
    cached: int = 0
    written: int = 0
    reasoned: int = 0

    @property
    def halves(self) -> tuple[str, ...]:
        """The text in two pieces."""
        return () if self.text is None else HALVES
