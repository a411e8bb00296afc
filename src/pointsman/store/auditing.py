"""The chain of the audit log: each row holds the hash of the one before, so that none can be changed or taken out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from pointsman.store.base import Audit, Audited, AuditFault
from pointsman.store.cleaning import clean, cleaned

START: Final = "0" * 64
"""What the first row has in the place of the hash before."""

_encoder = msgspec.json.Encoder(order="sorted", decimal_format="string")


def canonical(value: Any) -> str:
    """The one text of a plain JSON value."""
    try:
        return _encoder.encode(value).decode()
    except UnicodeEncodeError:
        return _encoder.encode(cleaned(value)).decode()


def hash_of(seq: int, at: float, texts: Iterable[str], previous: str) -> str:
    """SHA-256 in hexadecimal; ``texts`` are who, what, target, before and after as they are stored."""
    return hashlib.sha256(_encoder.encode([seq, at, *texts, previous])).hexdigest()


def chained(seq: int, at: float, audit: Audit, previous: str) -> dict[str, Any]:
    """The row after the one whose hash is ``previous``, as it is stored."""
    texts = {
        "who": clean(audit.who),
        "what": clean(audit.what),
        "target": clean(audit.target),
        "before": canonical(audit.before),
        "after": canonical(audit.after),
    }
    return {"seq": seq, "at": at, **texts, "previous": previous, "hash": hash_of(seq, at, texts.values(), previous)}


class Chain:
    """Follows the rows from the first one."""

    def __init__(self) -> None:
        self.seq = 0
        self.hash = START

    def follow(self, row: Audited, before: str, after: str) -> AuditFault | None:
        """``None``: the next row is as it was written. ``before`` and ``after`` are its texts as they are stored."""
        expected = self.seq + 1
        if row.seq != expected:
            return AuditFault(expected, "missing")
        if row.previous != self.hash:
            return AuditFault(row.seq, "does not follow the row before")
        if row.hash != hash_of(row.seq, row.at, (row.who, row.what, row.target, before, after), row.previous):
            return AuditFault(row.seq, "changed")
        self.seq, self.hash = row.seq, row.hash
        return None
