from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest

from pointsman.telemetry.logs import Logs, Redactor

SECRET = 'hunter2/"quoted"'


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    yield logging.getLogger("pointsman.some")
    assert (root.level, list(root.handlers)) == before


def written(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def test_records_are_json_lines_when_nobody_watches(logger: logging.Logger) -> None:
    stream = io.StringIO()
    logs = Logs(stream, is_terminal=False)
    logs.start()
    logger.info("served %s", "x\ny", extra={"status": 200, "odd": object})
    logger.debug("not wanted")
    logs.close()
    (line,) = written(stream)
    record = json.loads(line)
    assert record["message"] == "served x\ny"
    assert (record["level"], record["logger"], record["status"]) == ("info", "pointsman.some", 200)
    assert record["time"].endswith("+00:00")


def test_records_are_one_line_for_people_even_with_a_traceback(logger: logging.Logger) -> None:
    stream = io.StringIO()
    logs = Logs(stream, is_terminal=True, level="DEBUG")
    logs.start()
    logger.error("it\nbroke \x1b[31m\u2028", exc_info=ValueError("in\nner"), extra={"status": 500})
    logs.close()
    (line,) = written(stream)
    assert "ERROR" in line
    assert "it\\nbroke \\x1b[31m\\u2028 status=500" in line
    assert "ValueError: in\\nner" in line


@pytest.mark.parametrize("is_terminal", [False, True])
def test_no_credential_reaches_the_stream(logger: logging.Logger, is_terminal: bool) -> None:
    stream = io.StringIO()
    logs = Logs(stream, is_terminal=is_terminal, redactor=Redactor([SECRET, ""]))
    logs.start()
    logger.info("key %s", SECRET, extra={"head": {"Authorization": "Bearer abc.def"}})
    logger.error("x", exc_info=ValueError(f"refused {SECRET} sk-proj-abcdef"))
    logs.close()
    assert len(written(stream)) == 2
    for secret in ("hunter2", "quoted", "abc.def", "sk-proj", "abcdef"):
        assert secret not in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Authorization: Bearer abc.def-1", "Authorization: Bearer ***"),
        ("authorization: basic dXNlcg==", "authorization: basic ***"),
        ("the key sk-abc_DEF-123, yes", "the key ***, yes"),
        ('{"api_key": "abc"}', '{"api_key": "***"}'),
        ('{\\"x-api-key\\": \\"abc\\"}', '{\\"x-api-key\\": \\"***\\"}'),
        ("GET /x?api-key=abc&a=1", "GET /x?api-key=***&a=1"),
        ("via http://user:pass@proxy:80/", "via http://***@proxy:80/"),
        ("nothing to hide: risk-free tasks", "nothing to hide: risk-free tasks"),
    ],
)
def test_what_looks_like_a_credential_is_blotted_out(text: str, clean: str) -> None:
    assert Redactor().redact(text) == clean


def test_the_longest_known_credential_is_taken_out_whole() -> None:
    redactor = Redactor(["abcd", "abcdefgh"])
    assert redactor.redact("abcdefgh abcd") == "*** ***"
    redactor.know(["other"])
    assert redactor.redact("abcd other") == "abcd ***"
    redactor.know(["abc"])
    assert redactor.redact("abc other") == "abc other"


class Stalled(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.is_entered = threading.Event()
        self.released = threading.Event()

    def write(self, text: str) -> int:
        self.is_entered.set()
        self.released.wait(30)
        return super().write(text)


def test_a_stalled_stream_costs_records_and_not_the_caller(logger: logging.Logger) -> None:
    stream = Stalled()
    logs = Logs(stream, is_terminal=True, max_records=2)
    logs.start()
    logger.info("first")
    assert stream.is_entered.wait(30)
    for number in range(5):
        logger.info("more %d", number)
    assert logs.dropped == 3
    stream.released.set()
    logs.close()
    assert [line.rpartition(": ")[2] for line in written(stream)] == ["first", "more 0", "more 1"]


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError("disk full")


def test_a_broken_stream_is_counted_and_otherwise_silent(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = Logs(Broken(), is_terminal=True)
    logs.start()
    logger.info("lost")
    logs._entry.handle(logging.makeLogRecord({"msg": "%d", "args": ("not a number",)}))
    logs.close()
    assert logs.dropped == 2
    assert capsys.readouterr().err == ""
