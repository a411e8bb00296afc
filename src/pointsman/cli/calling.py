"""One request of a command to a running gateway."""

from __future__ import annotations

import asyncio
import os
from typing import Any
from urllib.parse import urlsplit

import msgspec

from pointsman.cli.state import KEY_FILE, data_directory
from pointsman.errors import GatewayError
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.h1 import header_lines, request_head
from pointsman.upstream.outbox import Outbox
from pointsman.upstream.pool import Pool
from pointsman.upstream.settings import Timeouts, UpstreamSettings

DEFAULT_URL = "http://127.0.0.1:4000"
TIMEOUTS = Timeouts(connect=5.0, first_byte=60.0, idle=10.0, total=60.0)
MAX_BYTES = 16 << 20
KEY_VARIABLES = ("POINTSMAN_MASTER_KEY", "LITELLM_MASTER_KEY")


class NotDone(Exception):
    """The gateway did not do it: why."""


def master_key(given: str | None) -> str | None:
    """The key that was given, else the environment's, else the one that the gateway has made here."""
    stated = given or next((key for name in KEY_VARIABLES if (key := os.environ.get(name, "").strip())), None)
    if stated is not None and stated != "auto":
        return stated
    try:
        return (data_directory(os.environ) / KEY_FILE).read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def post(url: str, path: str, key: str | None, body: Any) -> Any:
    """The JSON with which a gateway answers.

    :raises NotDone: it could not be reached, or refused
    """
    return asyncio.run(_post(url, path, key, msgspec.json.encode(body)))


async def _post(url: str, path: str, key: str | None, body: bytes) -> Any:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise NotDone(f"the gateway is asked at an http or https address, such as {DEFAULT_URL}")
    loop = asyncio.get_running_loop()
    sweeper = Sweeper(loop)
    pool = Pool(UpstreamSettings(), sweeper, Outbox(loop))
    sweeper.start()
    try:
        host = pool.host(f"{parts.scheme}://{parts.netloc}")
        lines = [(b"content-type", b"application/json"), (b"accept", b"application/json")]
        lines += [(b"authorization", b"Bearer " + key.encode())] if key else []
        target = f"{parts.path.rstrip('/')}{path}".encode()
        head = request_head(b"POST", target, host.host_header, header_lines(lines))
        response = await host.send(head, body, timeouts=TIMEOUTS)
        text = await response.read(MAX_BYTES)
        if response.status != 200:
            raise NotDone(f"the gateway answered with status {response.status}: {_message(text)}")
        return msgspec.json.decode(text)
    except (GatewayError, OSError, ValueError) as error:
        raise NotDone(f"cannot ask {url}: {getattr(error, 'operator_detail', None) or error}") from error
    finally:
        await pool.close()
        sweeper.stop()


def _message(text: bytes) -> str:
    try:
        told = msgspec.json.decode(text)
        return str(told["detail"] if "detail" in told else told["error"]["message"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return "no reason given"
