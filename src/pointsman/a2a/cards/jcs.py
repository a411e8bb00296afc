"""The canonical form of a JSON value: RFC 8785."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

MAX_DEPTH: Final = 100
MAX_SAFE: Final = 2**53


def canonical(value: Any) -> bytes:
    """The one text that everybody makes of ``value``.

    :raises ValueError: it has none: a number that is not one, half a surrogate pair, too many levels
    """
    return "".join(_write(value, 0)).encode()


def _write(value: Any, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        raise ValueError("a value has more levels than it may")
    if isinstance(value, dict):
        # By UTF-16 code units, which is another order than that of code points.
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        for index, name in enumerate(names):
            yield f"{',' if index else '{'}{_text(name)}:"
            yield from _write(value[name], depth + 1)
        yield "}" if names else "{}"
    elif isinstance(value, list | tuple):
        for index, one in enumerate(value):
            yield "," if index else "["
            yield from _write(one, depth + 1)
        yield "]" if value else "[]"
    else:
        yield _text(value) if isinstance(value, str) else _number_or_word(value)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _number_or_word(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if not isinstance(value, int | float):
        raise ValueError("a value is none that JSON can hold")  # noqa: TRY004  every value is judged
    if isinstance(value, int) and -MAX_SAFE < value < MAX_SAFE:
        return str(value)
    try:
        return _number(float(value))
    except OverflowError as error:
        raise ValueError("a number is none that JSON can hold") from error


def _number(value: float) -> str:
    """As ECMAScript writes it: the shortest digits that mean the number, and an exponent where they are far from it."""
    if not math.isfinite(value):
        raise ValueError("a number is none that JSON can hold")
    if value == 0:
        return "0"
    _, found, exponent = Decimal(repr(abs(value))).normalize().as_tuple()
    assert isinstance(exponent, int)
    digits = "".join(map(str, found))
    point = len(digits) + exponent
    sign = "-" if value < 0 else ""
    if exponent >= 0 and point <= 21:
        return sign + digits + "0" * exponent
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if digits[1:] else ""
    return f"{sign}{digits[0]}{rest}e{point - 1:+d}"
