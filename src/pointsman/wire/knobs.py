"""How good and how dear an answer may be, as one request says it to a routed model, and which session it belongs to.

It stands in headers, in ``metadata``, or in a member ``pointsman`` of the body; of the same knob the later of these
goes first. Values are numbers, or numbers as text, as metadata has them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.wire.peek import read_members

ROUTELLM: Final = "router-"
"""How the names of RouteLLM's routers begin."""
HALF_STRONG: Final = {"mf": 0.11593}
"""The threshold at which half of the requests go to the strong model, as RouteLLM's authors have calibrated it; 0.5
where they have not."""
MEMBERS: Final = ("quality", "max_cost", "min_quality")
_HEADERS: Final = tuple((name, b"x-pointsman-" + name.replace("_", "-").encode()) for name in MEMBERS)
SHARES: Final = {"cheap": 0.5, "best": 1.0}
"""Words for a ``quality``."""
SESSION_HEADERS: Final = (b"x-session-id", b"x-litellm-session-id", b"session_id")
MAX_SESSION_CHARS: Final = 256
_NAMED: Final = re.compile(
    r"(?P<name>.+):(?P<knob>(?i:cheap|best)|[01]|[01]?\.[0-9]{1,6})"
    r"|(?P<method>router-[a-z_]{1,32})-(?P<threshold>[01]|[01]?\.[0-9]{1,12})"
)
_ESCAPED: Final = re.compile(rb'"[a-z_]{0,18}\\u00[0-9a-fA-F]{2}[^"]{0,108}"[ \t\r\n]*:')
"""A name in which a letter is written by its number."""
_HIGHEST: Final = {"quality": 1.0, "max_cost": math.inf, "min_quality": 1.0}
_encode: Final = msgspec.json.Encoder().encode
_ANY: Final = msgspec.json.Decoder(Any)


class Knobs(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says; ``None``: nothing."""

    quality: float | None = None
    """0..1."""
    max_cost: float | None = None
    """US dollars of this request."""
    min_quality: float | None = None
    """0..1."""
    session: str | None = None


class NamedKnob(NamedTuple):
    """A setting that stands behind the name of a routed model."""

    name: str
    quality: float | None
    """0..1, or more where somebody has mistyped it."""
    strong_share: float | None
    """0..1: of requests that go to the stronger models."""


def knob_in(model: str) -> NamedKnob | None:
    """Read ``auto:cheap``, ``auto:best``, ``auto:0.7`` or RouteLLM's ``router-mf-0.116``; ``None`` for other names."""
    found = _NAMED.fullmatch(model)
    if found is None:
        return None
    if found["knob"] is not None:
        return NamedKnob(found["name"], _share(found["knob"]), None)
    # RouteLLM's thresholds are compared with the strong model's chance to win: at 0 it gets everything, at 1 nothing.
    method = found["method"]
    bend = math.log(0.5) / math.log(HALF_STRONG.get(method.removeprefix(ROUTELLM), 0.5))
    return NamedKnob(method, None, 1.0 - min(1.0, float(found["threshold"])) ** bend)


def _share(word: str) -> float:
    return SHARES[word.lower()] if word.lower() in SHARES else float(word)


def knobs_of(headers: Mapping[bytes, bytes], body: bytes, ours: Mapping[str, Any] | None) -> tuple[Knobs, bytes]:
    """Read what a request says, and give its body without that; ``ours`` is the member ``pointsman``.

    Names of ``headers`` are in lower case.

    :raises InvalidRequest: one of them is no such number; ``param`` names it
    """
    said: dict[str, Any] = {}
    for name, header in _HEADERS:
        line = headers.get(header)
        if line is not None:
            said[name] = _number(name, line.decode("latin-1"), header.decode())
    said["session"] = next((_session(headers[name]) for name in SESSION_HEADERS if headers.get(name)), None)
    if b'"metadata"' in body or b'"litellm_session_id"' in body or (b"\\u00" in body and _ESCAPED.search(body)):
        body = _from_body(body, said)
    for name, value in (ours or {}).items():
        if value is None and name in (*MEMBERS, "session_id"):
            continue
        if name in MEMBERS:
            said[name] = _number(name, value, f"pointsman.{name}")
        elif name == "session_id":
            if not isinstance(value, str):
                raise InvalidRequest("Invalid 'pointsman.session_id': expected a string", param="pointsman.session_id")
            said["session"] = value[:MAX_SESSION_CHARS]
        else:
            raise InvalidRequest(f"Unknown member 'pointsman.{name[:64]}'", param=f"pointsman.{name[:64]}")
    return Knobs(**said), body


def number_of(name: str, value: Any) -> float | None:
    """The value of the knob ``name``, or ``None`` if it is none."""
    if name == "quality" and isinstance(value, str) and value.strip().lower() in SHARES:
        return SHARES[value.strip().lower()]
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if 0.0 <= found <= _HIGHEST[name] and found != math.inf else None


def expected(name: str) -> str:
    """What the knob ``name`` takes, in words."""
    if name == "quality":
        return "a number from 0 to 1, cheap or best"
    return "a number from 0 to 1" if name == "min_quality" else "US dollars from 0"


def _from_body(body: bytes, said: dict[str, Any]) -> bytes:
    members = read_members(body)
    changed = dict(members)
    session: object = _ANY.decode(changed.pop("litellm_session_id", b"null"))
    metadata = _ANY.decode(members.get("metadata", b"null"))
    if isinstance(metadata, dict):
        session = session or metadata.get("session_id")
        for name in MEMBERS:
            if metadata.get(name) is not None:
                said[name] = _number(name, metadata[name], f"metadata.{name}")
        rest = {name: value for name, value in metadata.items() if name not in MEMBERS}
        if len(rest) < len(metadata):
            changed.pop("metadata")
            if rest:
                changed["metadata"] = msgspec.Raw(_encode(rest))
    if isinstance(session, str) and session:
        said["session"] = session[:MAX_SESSION_CHARS]
    is_as_it_was = changed.keys() == members.keys() and changed.get("metadata") is members.get("metadata")
    return body if is_as_it_was else _encode(changed)


def _number(name: str, value: Any, param: str) -> float:
    found = number_of(name, value)
    if found is None:
        raise InvalidRequest(f"Invalid '{param}': expected {expected(name)}", param=param)
    return found


def _session(line: bytes) -> str:
    return line.decode("latin-1").strip()[:MAX_SESSION_CHARS]
