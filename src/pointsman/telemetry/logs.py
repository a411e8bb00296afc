"""Where log records go: one line each, for people on a terminal and as JSON elsewhere.

Code logs with the standard library. A record is put into a bounded queue and written by a thread, so that a slow
disk or terminal does not hold up the event loop; when the queue is full, records are dropped and counted.
Credentials are taken out of the finished line, the last point that every record passes.
"""

from __future__ import annotations

import copy
import logging
import queue
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener
from typing import Any, Final, TextIO

import msgspec

MAX_RECORDS: Final = 10_000
_MIN_SECRET: Final = 4
_STOP_SECONDS: Final = 5.0
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PATTERNS: Final = re.compile(
    r"(?P<bearer>\b(?:bearer|basic)\s+)[^\s\"'\\,;]+"
    r"|(?P<named>\b(?:x-)?(?:litellm-)?(?:api[-_]?key|authorization|password|secret|access_token)\\?[\"']?"
    r"\s*[:=]\s*\\?[\"']?)(?!(?:bearer|basic)\s)[^\s\"'\\,;&]+"
    r"|(?P<userinfo>\b[a-z][a-z0-9+.-]*://)[^\s/@\"']+@"
    r"|\bsk-[A-Za-z0-9_-]{4,}|\bAIza[A-Za-z0-9_-]{20,}|\bgsk_[A-Za-z0-9]{8,}",
    re.IGNORECASE,
)


class Redactor:
    """Takes credentials out of text: those it was told of, and what looks like one."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: re.Pattern[str] | None = None
        self._spellings: frozenset[str] = frozenset()
        self.know(secrets)

    def know(self, secrets: Iterable[str]) -> None:
        """Set the known credentials anew; those below four characters would blot out ordinary text."""
        spellings: set[str] = set()
        for secret in secrets:
            if len(secret) >= _MIN_SECRET:
                spellings |= {secret, msgspec.json.encode(secret).decode()[1:-1]}
        if spellings == self._spellings:
            return
        self._spellings = frozenset(spellings)
        longest_first = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))
        self._known = re.compile("|".join(map(re.escape, longest_first))) if spellings else None

    def redact(self, text: str) -> str:
        """Give ``text`` with ``***`` in the place of each credential."""
        if self._known is not None:
            text = self._known.sub("***", text)
        return _PATTERNS.sub(_blot, text)


class Logs:
    """The way of all log records of a process, from :meth:`start` to :meth:`close`.

    ``stream`` is where the lines go; ``is_terminal`` chooses their form.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        is_terminal: bool,
        level: int | str = logging.INFO,
        redactor: Redactor | None = None,
        max_records: int = MAX_RECORDS,
    ) -> None:
        self.redactor = redactor or Redactor()
        self._level = level
        self._previous_level: int = logging.WARNING
        sink = _Sink(stream)
        sink.setFormatter((_Human if is_terminal else _Json)(self.redactor))
        self._sink = sink
        records: queue.Queue[Any] = queue.Queue(max_records)
        self._entry = _Entry(records)
        self._listener = _Listener(records, sink)

    @property
    def dropped(self) -> int:
        """How many records were lost, to a full queue or a broken stream."""
        return self._entry.dropped + self._sink.dropped

    def start(self) -> None:
        """Take over the root logger and start the writing thread."""
        root = logging.getLogger()
        self._previous_level = root.level
        root.setLevel(self._level)
        root.addHandler(self._entry)
        self._listener.start()

    def close(self) -> None:
        """Write what is queued, and give the root logger back."""
        root = logging.getLogger()
        root.removeHandler(self._entry)
        root.setLevel(self._previous_level)
        self._listener.stop()


class _Entry(QueueHandler):
    """Puts records into the queue, or counts them as dropped."""

    def __init__(self, records: queue.Queue[Any]) -> None:
        super().__init__(records)
        self.dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        # Arguments may change after the call, so the text is made now; the layout can wait.
        record = copy.copy(record)
        record.msg = record.getMessage()
        record.args = None
        if record.exc_info:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
            record.exc_info = None
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802  the library's signature
        self.dropped += 1


class _Listener(QueueListener):
    def __init__(self, records: queue.Queue[Any], sink: logging.Handler) -> None:
        super().__init__(records, sink)
        self._records = records

    def enqueue_sentinel(self) -> None:
        # The library raises when the queue is full, which is just when the end has to wait for the disk.
        self._records.put(None, timeout=_STOP_SECONDS)


class _Sink(logging.StreamHandler[TextIO]):
    """Writes lines; what cannot be written is counted, for there is nowhere left to complain to."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.dropped = 0

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802  the library's signature
        self.dropped += 1


class _Json(logging.Formatter):
    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor
        self._encode = msgspec.json.Encoder(enc_hook=str).encode

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extras(record),
        }
        if record.exc_text:
            line["error"] = record.exc_text
        return self._redactor.redact(self._encode(line).decode())


class _Human(logging.Formatter):
    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        parts = [_time(record), f"{record.levelname:<8}", f"{record.name}:", record.getMessage()]
        parts += [f"{name}={value}" for name, value in _extras(record).items()]
        if record.exc_text:
            parts.append(f"| {record.exc_text}")
        # A caller's text must not be able to begin a line of its own, nor steer the terminal.
        return self._redactor.redact(_CONTROL.sub(_escape, " ".join(parts)))


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _blot(found: re.Match[str]) -> str:
    if found["userinfo"]:
        return f"{found['userinfo']}***@"
    return f"{found['bearer'] or found['named'] or ''}***"
