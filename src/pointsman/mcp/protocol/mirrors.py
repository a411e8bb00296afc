"""What of a message stands in HTTP headers too, from revision 2026-07-28 on (SEP-2243).

``Mcp-Name`` repeats the name or URI, and ``Mcp-Param-*`` repeat those arguments of a tool whose schema says so by
``x-mcp-header``. Text that a header cannot hold stands there as ``=?base64?...?=``.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

NAMED_BY: Final[Mapping[str, str]] = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
"""By method: the parameter that ``Mcp-Name`` repeats."""
PARAM_PREFIX: Final = "Mcp-Param-"
ANNOTATION: Final = "x-mcp-header"
MAX_SAFE_INTEGER: Final = 2**53 - 1
MAX_DEPTH: Final = 64

Path = tuple[str, ...]
Mirrors = Mapping[Path, str]
"""By the place of an argument: the end of its header's name."""

_PLAIN: Final = re.compile(r"(?:[!-~](?:[ -~\t]*[!-~])?)?")
_ENCODED: Final = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TYPES: Final = ("string", "integer", "boolean")
_DATA: Final = ("default", "examples", "const", "enum")
"""Keywords whose values are no schemas."""
_NAMED: Final = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
"""Keywords whose values have schemas by names that mean nothing."""


def encode_value(text: str) -> str:
    """``text`` as a header can hold it."""
    if _PLAIN.fullmatch(text) and not _ENCODED.fullmatch(text):
        return text
    return f"=?base64?{base64.b64encode(text.encode('utf-8', 'surrogatepass')).decode()}?="


def decode_value(value: str) -> str | None:
    """The text that a header holds; ``None``: it is damaged."""
    found = _ENCODED.fullmatch(value)
    if found is None:
        return value
    try:
        content = base64.b64decode(found[1], validate=True)
        # Two spellings of one text would let somebody smuggle the other one past a comparison.
        return content.decode() if base64.b64encode(content).decode() == found[1] else None
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def mirrors_of(schema: object) -> Mapping[Path, str]:
    """The arguments that a tool's schema wants repeated in headers.

    :raises ValueError: an annotation is wrong, so that the tool must not be used over HTTP; the text says why
    """
    found: dict[Path, str] = {}
    names: set[str] = set()
    for path, node in _annotated(schema, (), 0):
        header = _checked(path, node)
        if header.lower() in names:
            raise ValueError(f"two parameters have the {ANNOTATION} {header!r}")
        names.add(header.lower())
        assert path is not None
        found[path] = header
    return found


def param_headers(mirrors: Mirrors, arguments: object) -> dict[str, str]:
    """The headers for a call with these arguments; none for those that are not there or ``null``."""
    found = {}
    for path, header in mirrors.items():
        text = text_at(arguments, path)
        if text is not None:
            found[PARAM_PREFIX + header] = encode_value(text)
    return found


def text_at(arguments: object, path: Path) -> str | None:
    """What a header has to say about the argument at ``path``; ``None``: nothing."""
    value = arguments
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        return str(value) if abs(value) <= MAX_SAFE_INTEGER else None
    return value if isinstance(value, str) else None


def _checked(path: Path | None, node: Mapping[str, Any]) -> str:
    header = node[ANNOTATION]
    if not path:
        raise ValueError(f"{ANNOTATION} stands where no parameter is")
    where = ".".join(path)
    if not isinstance(header, str) or not _TOKEN.fullmatch(header):
        raise ValueError(f"the {ANNOTATION} of {where!r} is no name of a header")
    if node.get("type") not in _TYPES:
        raise ValueError(f"{where!r} has {ANNOTATION} and is neither string, integer nor boolean")
    return header


def _annotated(node: object, path: Path | None, depth: int) -> Iterator[tuple[Path | None, Mapping[str, Any]]]:
    """Schemas with the annotation, and their places; ``None``: not reached by ``properties`` alone."""
    if depth > MAX_DEPTH:
        raise ValueError("the schema is too deep")
    if isinstance(node, list):
        for one in node:
            yield from _annotated(one, None, depth + 1)
    if not isinstance(node, dict):
        return
    if ANNOTATION in node:
        yield path, node
    for keyword, value in node.items():
        if keyword in _NAMED and isinstance(value, dict):
            for name, one in value.items():
                is_argument = keyword == "properties" and path is not None
                yield from _annotated(one, (*path, name) if is_argument and path is not None else None, depth + 1)
        elif keyword not in _DATA and keyword != ANNOTATION:
            yield from _annotated(value, None, depth + 1)
