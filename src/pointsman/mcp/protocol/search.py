"""Three tools in the place of hundreds: one finds others by what is to be done, one shows them, and one calls them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pointsman.wire import words as wire
from pointsman.wire.words import words

SEARCH: Final = "search_tools"
DESCRIBE: Final = "describe_tool"
CALL: Final = "call_tool"
DEFAULT_LIMIT: Final = 5
MAX_LIMIT: Final = 20
MAX_SUMMARY: Final = 200

TOOLS: Final[tuple[Mapping[str, Any], ...]] = (
    {
        "name": SEARCH,
        "description": "Find tools by what is to be done. Gives names and summaries, the best first.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "query": {"type": "string", "description": "What is to be done, in a few words"},
                "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
            },
            "required": ["query"],
        },
        "annotations": {"readOnlyHint": True},
    },
    {
        "name": DESCRIBE,
        "description": "Show the whole definition of a tool, with the schema of its arguments.",
        "inputSchema": {
            "type": "object",
            "properties": {"name": {"type": "string", "description": f"A name that {SEARCH} has given"}},
            "required": ["name"],
        },
        "annotations": {"readOnlyHint": True},
    },
    {
        "name": CALL,
        "description": "Call a tool.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "description": f"A name that {SEARCH} has given"},
                "arguments": {"type": "object", "description": f"As {DESCRIBE} tells"},
            },
            "required": ["name"],
        },
    },
)


class Index(wire.Index):
    """Tools by the words of their names, descriptions and arguments."""

    def __init__(self, tools: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """``tools`` are raw ones, by the names that are to be found."""
        super().__init__((name, words_of(tool)) for name, tool in tools)

    def search(self, query: str, limit: int = DEFAULT_LIMIT) -> list[str]:
        """The names of what fits best; those that fit equally in the order in which they were given."""
        return super().search(query, min(limit, MAX_LIMIT))


def words_of(tool: Mapping[str, Any]) -> list[str]:
    """Those of all that a tool says of itself."""
    texts = [tool.get("title"), tool.get("description")]
    schema = tool.get("inputSchema")
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    for name, about in properties.items() if isinstance(properties, Mapping) else ():
        texts += [name, about.get("description") if isinstance(about, Mapping) else None]
    return [word for text in texts if isinstance(text, str) for word in words(text)]


def summary(name: str, tool: Mapping[str, Any]) -> dict[str, str]:
    """What is told of a tool that was found."""
    about = tool.get("description")
    first = about.strip().partition("\n")[0][:MAX_SUMMARY] if isinstance(about, str) else ""
    return {"name": name, "description": first}
