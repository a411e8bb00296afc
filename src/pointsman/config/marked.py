"""YAML text into plain values, with the place of every key and value.

The values are those of YAML 1.1, for which LiteLLM's configs were written, with three differences: a date
stays the text that it was (``api_version: 2024-06-01`` is a name), keys are always text, and what JSON
cannot say (binary, sets, ``.nan``, tags of one's own) is a problem.

Aliases and merge keys (``<<``) are expanded. Depth and the number of expanded nodes are bounded, so that a
few lines of nested aliases cannot fill the memory. No message repeats a value, since the value may be a
credential.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

from pointsman.config.check import Problem
from pointsman.config.marks import Path, Place, Spot, spell

MAX_DEPTH = 64
MAX_NODES = 200_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_COLLECTIONS: Any = {
    yaml.MappingStartEvent: (yaml.MappingNode, _TAG + "map"),
    yaml.SequenceStartEvent: (yaml.SequenceNode, _TAG + "seq"),
}
_TEXT = _TAG + "str"
_NO_TAG = (None, "!")
_RESOLVER: Any = yaml.resolver.Resolver()
_SHORT = 64
"""Characters of a scalar that may stand there again."""
_QUOTED = re.compile(r"'[^'<]{2,}'")
_SCALARS = frozenset(_TAG + name for name in ("null", "bool", "int", "float", "str", "timestamp", "value"))


class Marked(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed document; ``tree`` is ``None`` when the text is empty or not YAML."""

    tree: Any
    spots: dict[Path, Spot]
    problems: tuple[Problem, ...]


class _Refused(Exception):
    """The document is beyond a bound."""


def parse(text: str, file: str) -> Marked:
    """Values, places and problems of one YAML text; never raises for what the text holds."""
    builder = _Builder(file)
    try:
        node = _composed(text)
        tree = None if node is None else builder.build(node, (), None)
    except yaml.MarkedYAMLError as error:
        return _failed(file, error.problem_mark, _explain(error))
    except yaml.YAMLError:
        return _failed(file, None, "is not YAML: it has characters that YAML does not allow")
    except _Refused as refusal:
        return _failed(file, None, str(refusal))
    return Marked(tree=tree, spots=builder.spots, problems=tuple(builder.problems))


def _composed(text: str) -> yaml.Node | None:  # noqa: C901  a loop over every scalar, where calls are what it costs
    """The tree of a document; ``None`` of an empty one.

    Event by event, as the library's own way to compose a long document keeps all other threads from running, and
    recurses however deep it is.
    """
    tags: dict[str, str] = {}
    anchors: dict[str, yaml.Node] = {}
    root: list[yaml.Node] = []
    open_nodes: list[yaml.CollectionNode] = []
    # What the innermost collection gathers: items, or keys and values in turn.
    items: list[yaml.Node] = root
    outer: list[list[yaml.Node]] = []
    event: Any
    node: Any
    for event in yaml.parse(text, Loader=_LOADER):
        kind = type(event)
        if kind is yaml.ScalarEvent:
            tag = event.tag
            if tag is None or tag == "!":
                tag = (event.implicit[0] and tags.get(event.value)) or _scalar_tag(event, tags)
            node = yaml.ScalarNode(tag, event.value, event.start_mark)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            if len(outer) >= MAX_DEPTH:
                raise _Refused(f"is nested more than {MAX_DEPTH} levels deep")
            make, usual = _COLLECTIONS[kind]
            node = make(usual if event.tag in _NO_TAG else event.tag, [], event.start_mark)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            ended = open_nodes.pop()
            ended.value = items if kind is yaml.SequenceEndEvent else list(zip(items[::2], items[1::2], strict=True))
            items = outer.pop()
            continue
        elif kind is yaml.AliasEvent:
            items.append(_aliased(event, anchors))
            continue
        else:
            if kind is yaml.DocumentStartEvent and root:
                raise _error("expected a single document in the stream", event)
            continue
        if event.anchor is not None:
            if event.anchor in anchors:
                raise _error("found duplicate anchor", event)
            anchors[event.anchor] = node
        items.append(node)
        if kind is not yaml.ScalarEvent:
            open_nodes.append(node)
            outer.append(items)
            items = []
    return root[0] if root else None


def _scalar_tag(event: Any, tags: dict[str, str]) -> str:
    """What a scalar without a tag of its own is; ``tags`` keeps that of plain ones, which are mostly the same words."""
    if not event.implicit[0]:
        return _TEXT
    tag: str = _RESOLVER.resolve(yaml.ScalarNode, event.value, (True, False))
    if len(event.value) <= _SHORT:
        tags[event.value] = tag
    return tag


def _aliased(event: Any, anchors: dict[str, yaml.Node]) -> yaml.Node:
    if event.anchor not in anchors:
        raise _error("found undefined alias", event)
    return anchors[event.anchor]


def _error(problem: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)


def _failed(file: str, mark: Any, what: str) -> Marked:
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    problem = Problem(severity="error", what=what, file=file, line=line, column=column)
    return Marked(tree=None, spots={}, problems=(problem,))


def _explain(error: yaml.MarkedYAMLError) -> str:
    """What is wrong, without what may be part of a value: names of anchors, aliases and tags."""
    found = error.problem or ""
    if "undefined alias" in found:
        return "is not YAML: a value that begins with * must be in quotes"
    if "duplicate anchor" in found:
        return "is not YAML: the same anchor (&name) is declared twice"
    if "single document" in found or "another document" in found:
        return "holds more than one YAML document; remove what follows the line ---"
    return "is not YAML: " + _QUOTED.sub("something", found)


class _Builder:
    """Walks one composed document."""

    def __init__(self, file: str) -> None:
        self.spots: dict[Path, Spot] = {}
        self.problems: list[Problem] = []
        self._file = file
        self._nodes = 0
        self._open: set[int] = set()
        self._scalars: Any = yaml.constructor.SafeConstructor()

    def build(self, node: yaml.Node, path: Path, key: Place | None) -> Any:
        self._count()
        mark = node.start_mark
        place = Place(self._file, mark.line + 1, mark.column + 1)
        self.spots[path] = Spot(key or place, place)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            return self._problem(node, path, "contains itself through an alias")
        if len(path) > MAX_DEPTH:
            raise _Refused(f"is nested more than {MAX_DEPTH} levels deep")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.build(item, (*path, at), None) for at, item in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        if node.tag != _TAG + "map":
            self._problem(node, path, "has a YAML tag, which has no meaning here")
        values: dict[str, Any] = {}
        own: dict[str, Place] = {}
        for key_node, value_node, is_merged in self._pairs(node, path, is_merged=False):
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(key_node, path, "has a key that is not plain text")
                continue
            key, place = key_node.value, self._place(key_node)
            if not is_merged:
                if key in own:
                    self._duplicate((*path, key), place, own[key])
                own[key] = place
            values[key] = self.build(value_node, (*path, key), place)
        return values

    def _pairs(self, node: yaml.Node, path: Path, *, is_merged: bool) -> Iterator[tuple[yaml.Node, yaml.Node, bool]]:
        """Entries in the order in which later ones win: what is merged first, then the mapping's own."""
        for key, value in node.value:
            if key.tag == _TAG + "merge":
                yield from self._merged(value, path)
        for key, value in node.value:
            if key.tag != _TAG + "merge":
                self._count()
                yield key, value, is_merged

    def _merged(self, value: yaml.Node, path: Path) -> Iterator[tuple[yaml.Node, yaml.Node, bool]]:
        sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
        # Of several merged mappings the first one wins, so it comes last.
        for source in reversed(sources):
            if not isinstance(source, yaml.MappingNode) or id(source) in self._open:
                self._problem(value, path, "merges (<<) something that is not another mapping")
                continue
            self._open.add(id(source))
            try:
                yield from self._pairs(source, path, is_merged=True)
            finally:
                self._open.discard(id(source))

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        kind = node.tag.removeprefix(_TAG)
        if node.tag not in _SCALARS:
            return self._problem(node, path, "has a YAML tag or type that has no meaning here", _QUOTE)
        if kind in {"str", "timestamp", "value"}:
            return node.value
        try:
            value = getattr(self._scalars, f"construct_yaml_{kind}")(node)
        except (ValueError, KeyError, yaml.YAMLError):
            return self._problem(node, path, f"is not a valid {kind}", _QUOTE)
        if isinstance(value, float) and not math.isfinite(value):
            return self._problem(node, path, "is not a finite number", _QUOTE)
        return value

    def _count(self) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _Refused(f"has more than {MAX_NODES} values once its aliases are expanded")

    def _place(self, node: yaml.Node) -> Place:
        return Place(self._file, node.start_mark.line + 1, node.start_mark.column + 1)

    def _problem(self, node: yaml.Node, path: Path, what: str, hint: str = "") -> None:
        self.problems.append(Problem.at(self._place(node), "error", spell(path), what, hint))

    def _duplicate(self, path: Path, place: Place, first: Place) -> None:
        what = "stands twice in its mapping; the last one counts"
        hint = f"remove one of the two; the first is in line {first.line}"
        self.problems.append(Problem.at(place, "warning", spell(path), what, hint))


_QUOTE = "put the value in quotes if it is meant as text"
