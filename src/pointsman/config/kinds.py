"""What a value in a config document may be: how it is read, how it is described, and its JSON Schema.

A kind is lenient where LiteLLM is: a number or a flag may be written as text, since that is what an
environment variable gives.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

import msgspec

from pointsman.access.budgets import seconds_of
from pointsman.wire.secret import Secret

MAX_SECONDS = 86_400.0
_MAX_IDENTIFIER = 200
_MAX_CREDENTIALS = 65_536
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,16384}")
_FRAMING_HEADERS = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "expect",
        "te",
        "trailer",
        "upgrade",
        "keep-alive",
    }
)
_FLAGS = {
    "true": True,
    "false": False,
    "yes": True,
    "no": False,
    "on": True,
    "off": False,
    "1": True,
    "0": False,
}
_REFERENCE = {"type": "string", "pattern": "^os\\.environ/"}


class Mismatch(Exception):
    """A value is not of its kind; the text says what is wrong and never repeats the value."""


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of value."""

    words: str
    """Completes "must be ..."."""
    read: Callable[[Any], Any]
    """Gives the value that settings hold, or raises :class:`Mismatch`."""
    schema: dict[str, Any]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Mismatch(f"must be text, not {name_of(value)}; put it in quotes")
    if not value.strip():
        raise Mismatch("must not be empty")
    return value


def _identifier(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    text = _text(value)
    if not (text.isascii() and text.isprintable()) or len(text) > _MAX_IDENTIFIER:
        raise Mismatch(f"must be at most {_MAX_IDENTIFIER} printable ASCII characters: it stands in reply headers")
    return text


def _secret(value: Any) -> Secret:
    text = _text(value).strip()
    if not text.isascii() or not text.isprintable() or len(text) > 16_384:
        raise Mismatch("has characters that cannot be sent in a header")
    return Secret(text)


def _credentials(value: Any) -> Secret:
    """Google's credentials: their text, the path of a file with it, or what the text says as YAML."""
    text = msgspec.json.encode(value).decode() if isinstance(value, dict) else _text(value).strip()
    if len(text) > _MAX_CREDENTIALS:
        raise Mismatch("is longer than credentials are")
    return Secret(text)


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _FLAGS:
        return _FLAGS[value.strip().lower()]
    raise Mismatch(f"must be true or false, not {name_of(value)}")


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Mismatch(f"must be a number, not {name_of(value)}")
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        raise Mismatch("must be a number, not text") from None
    if not number.is_finite() or not math.isfinite(float(number)):
        raise Mismatch("must be a finite number")
    return number


def _texts(value: Any) -> tuple[str, ...]:
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise Mismatch("must be a list of texts")
    return tuple(entries)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Mismatch(f"must be a mapping, not {name_of(value)}")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Mismatch(f"must be a list, not {name_of(value)}")
    return value


def _headers(value: Any) -> tuple[tuple[str, str], ...]:
    """Header lines that are safe to frame: no line breaks, and none that decides where a message ends."""
    lines = []
    for name, content in _object(value).items():
        if not _HEADER_NAME.fullmatch(name):
            raise Mismatch("has a name that is not a header name")
        if name.lower() in _FRAMING_HEADERS:
            raise Mismatch(f"may not set {name}, which belongs to the connection")
        text = str(content) if isinstance(content, int | float) and not isinstance(content, bool) else content
        if not isinstance(text, str) or not _HEADER_VALUE.fullmatch(text):
            raise Mismatch(f"has a value for {name} that cannot stand in a header")
        lines.append((name, text))
    return tuple(lines)


def _header_name(value: Any) -> str:
    name = _text(value).strip()
    if not _HEADER_NAME.fullmatch(name):
        raise Mismatch("must be the name of a header")
    return name


def read_url(value: Any) -> str:
    """An ``http`` or ``https`` address that paths can be appended to, without trailing slashes.

    Raises:
        Mismatch: it is something else, or holds a password, a query or a fragment.

    """
    url = _text(value).strip()
    try:
        parts = urlsplit(url)
        is_address = parts.scheme.lower() in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or len(url) > 2048 or not url.isascii() or not url.isprintable() or " " in url:
        raise Mismatch("must be an address such as https://host/v1")
    if "@" in parts.netloc:
        raise Mismatch("must not hold a user or password; put the credential in api_key or extra_headers")
    if parts.query or parts.fragment:
        raise Mismatch("must end with a path: what follows ? or # would be lost")
    return url.rstrip("/")


def _authority_file(value: Any) -> bool | str:
    try:
        return _flag(value)
    except Mismatch:
        return _text(value)


def name_of(value: Any) -> str:
    """What a value is, in an operator's words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "a mapping"


def whole(minimum: int, maximum: int = 2**53) -> Kind:
    """A whole number within bounds."""

    def read(value: Any) -> int:
        number = _decimal(value)
        if number != number.to_integral_value() or not minimum <= number <= maximum:
            raise Mismatch(f"must be {words}")
        return int(number)

    words = f"a whole number from {minimum}" + (f" to {maximum}" if maximum < 2**53 else " up")
    schema = {"type": "integer", "minimum": minimum} | ({"maximum": maximum} if maximum < 2**53 else {})
    return Kind(words=words, read=read, schema={"anyOf": [schema, _REFERENCE]})


def number(minimum: float, maximum: float = math.inf, *, above: bool = False) -> Kind:
    """A number within bounds; with ``above`` the lower one itself is not allowed."""

    def read(value: Any) -> float:
        found = float(_decimal(value))
        if found < minimum or found > maximum or (above and found == minimum):
            raise Mismatch(f"must be {words}")
        return found

    words = f"a number {'above' if above else 'from'} {minimum:g}" + (f" to {maximum:g}" if maximum < math.inf else "")
    schema: dict[str, Any] = {"type": "number", "exclusiveMinimum" if above else "minimum": minimum}
    if maximum < math.inf:
        schema["maximum"] = maximum
    return Kind(words=words, read=read, schema={"anyOf": [schema, _REFERENCE]})


def one_of(meanings: Mapping[str, Any]) -> Kind:
    """One of a few words, read as what it means."""

    def read(value: Any) -> Any:
        # YAML reads off as false.
        word = "off" if value is False else _text(value).strip().lower()
        if word not in meanings:
            raise Mismatch(f"must be {words}")
        return meanings[word]

    words = " or ".join(meanings)
    values = [*meanings, *([False] if "off" in meanings else [])]
    return Kind(words=words, read=read, schema={"anyOf": [{"enum": values}, _REFERENCE]})


def mapping_to(schema: dict[str, Any]) -> Kind:
    """A mapping of any names to values of one schema; whoever reads it checks those."""
    return Kind(words="a mapping", read=_object, schema={"type": "object", "additionalProperties": schema})


def _delay(value: Any) -> float | None:
    if isinstance(value, str) and value.strip().lower() == "p95":
        return None
    try:
        found: float = SECONDS.read(value)
    except Mismatch:
        raise Mismatch(f"must be {DELAY.words}") from None
    return found


def _duration(value: Any) -> str:
    text = str(value).strip()
    try:
        seconds_of(text)
    except ValueError:
        raise Mismatch(f"must be {DURATION.words}") from None
    return text


def _money(value: Any) -> Decimal:
    amount = _decimal(value)
    if amount < 0:
        raise Mismatch("must not be below 0")
    return amount


_STRING: dict[str, Any] = {"type": "string"}
ANY = Kind(words="anything", read=lambda value: value, schema={})
TEXT = Kind(words="text", read=_text, schema=_STRING)
IDENTIFIER = Kind(words="text", read=_identifier, schema={"type": ["string", "integer"]})
SECRET = Kind(words="text", read=_secret, schema=_STRING)
CREDENTIALS = Kind(
    words="the text or the path of a credentials file", read=_credentials, schema={"type": ["string", "object"]}
)
FLAG = Kind(words="true or false", read=_flag, schema={"anyOf": [{"type": "boolean"}, _REFERENCE]})
SECONDS = number(0, MAX_SECONDS, above=True)
SECONDS_OR_NONE = number(0, MAX_SECONDS)
DELAY = Kind(
    words="p95 or a number above 0 to 86400",
    read=_delay,
    schema={"anyOf": [{"const": "p95"}, *SECONDS.schema["anyOf"]]},
)
PERCENT = number(0, 100)
USD = Kind(
    words="an amount in US dollars",
    read=_money,
    schema={"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]},
)
DURATION = Kind(words="a time such as 30s, 12h, 7d or 1mo", read=_duration, schema=_STRING)
TEXTS = Kind(words="a list of texts", read=_texts, schema={"anyOf": [{"type": "array", "items": _STRING}, _STRING]})
OBJECT = Kind(words="a mapping", read=_object, schema={"type": "object"})
LIST = Kind(words="a list", read=_list, schema={"type": "array"})
FALLBACKS = Kind(
    words="a list of mappings",
    read=_list,
    schema={
        "type": "array",
        "items": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": ["string", "object"]}},
        },
    },
)
HEADERS = Kind(
    words="a mapping of header names to values",
    read=_headers,
    schema={"type": "object", "additionalProperties": {"type": ["string", "number"]}},
)
HEADER_NAME = Kind(words="the name of a header", read=_header_name, schema=_STRING)
URL = Kind(words="an http or https address", read=read_url, schema=_STRING)
AUTHORITIES = Kind(
    words="true, false or the path of a CA file", read=_authority_file, schema={"type": ["boolean", "string"]}
)
