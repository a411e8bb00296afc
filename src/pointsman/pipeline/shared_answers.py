"""Answers that gateways give to each other's callers, in a store that they share."""

from __future__ import annotations

from typing import Protocol

import msgspec

from pointsman.pipeline.cache import Answer


class Values(Protocol):
    """Bytes by key. What is away is as if it were not there."""

    async def get(self, key: str) -> bytes | None:
        """What is kept under ``key``."""

    def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep ``value`` for so long; nobody waits for it."""


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    stored: float
    lines: bytes
    body: bytes


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Kept)


class SharedAnswers:
    """As :class:`~pointsman.pipeline.cache.AnswerCache`, in a store that ends what is too old.

    Times in seconds since 1970.
    """

    bytes = 0
    """Of this process's memory."""

    def __init__(self, values: Values, namespace: str = "") -> None:
        """``namespace`` begins all keys, so that an operator finds them."""
        self._values = values
        self._prefix = f"{namespace}:" if namespace else ""
        self.hits = 0
        self.misses = 0

    async def get(self, key: str, now: float, max_age: float | None = None) -> Answer | None:
        """The answer to ``key``, unless it is older than ``max_age``."""
        value = await self._values.get(self._prefix + key)
        kept = None if value is None else _read(value)
        # Clocks of two machines differ: what is of the future has no age.
        if kept is None or (max_age is not None and now - kept.stored > max_age):
            self.misses += 1
            return None
        self.hits += 1
        return Answer(kept.lines, kept.body)

    def put(self, key: str, answer: Answer, ttl: float, now: float) -> None:
        """Keep ``answer`` for ``ttl``, in the place of an earlier one."""
        self._values.put(self._prefix + key, _ENCODER.encode(_Kept(now, answer.lines, answer.body)), ttl)


def _read(value: bytes) -> _Kept | None:
    """``None``: somebody else has written it, or too much to be read whole."""
    try:
        return _DECODER.decode(value)
    except msgspec.MsgspecError:
        return None
