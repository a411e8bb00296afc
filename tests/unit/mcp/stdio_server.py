"""A server over stdio that does what it is told: each request's method is one of the functions below."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOREVER = 3600


def say(message: object) -> None:
    sys.stdout.write(message if isinstance(message, str) else json.dumps(message))
    sys.stdout.write("\n")
    sys.stdout.flush()


def about(_: Any) -> object:
    return {"pid": os.getpid(), "cwd": str(Path.cwd()), "env": dict(os.environ)}


def echo(params: Any) -> object:
    return params


def big(params: Any) -> object:
    return "x" * params["bytes"]


def noise(params: Any) -> object:
    for line in params["lines"]:
        say(line)
    sys.stderr.write(params.get("error", "") + "\n")
    sys.stderr.flush()
    return {}


def tell(params: Any) -> object:
    for message in params["messages"]:
        say(message)
    return {}


def die(params: Any) -> object:
    sys.stderr.write("my last words\n")
    sys.stderr.flush()
    os._exit(params.get("status", 3) if params else 3)


def hide(_: Any) -> object:
    """Leave a process behind that has left the group, as daemons do."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        pid = os.fork()
        if pid:
            os.write(writer, str(pid).encode())
            os._exit(0)
        time.sleep(FOREVER)
    os.wait()
    return {"pid": int(os.read(reader, 20))}


def stubborn(_: Any) -> object:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return {}


def deaf(_: Any) -> object:
    """Read no more."""
    say({"jsonrpc": "2.0", "method": "notifications/deaf"})
    time.sleep(FOREVER)
    return {}


def fat(params: Any) -> object:
    global _kept  # noqa: PLW0603
    _kept = b"x" * params["bytes"]
    return {}


_kept = b""
METHODS: dict[str, Callable[[Any], object]] = {
    name: value for name, value in globals().items() if callable(value) and name not in {"say", "Callable", "Any"}
} | {"initialize": about, "server/discover": about, "tools/call": echo}
SILENT = {"hang"}


def main() -> None:
    waiting = []
    for line in sys.stdin:
        message = json.loads(line)
        waiting.append(message)
        if message.get("method") == "seen":
            say({"jsonrpc": "2.0", "id": message["id"], "result": {"messages": waiting}})
        elif "id" in message and message.get("method") in METHODS:
            result = METHODS[message["method"]](message.get("params"))
            say({"jsonrpc": "2.0", "id": message["id"], "result": result})
    if "linger" in sys.argv:
        time.sleep(FOREVER)


if __name__ == "__main__":
    main()
