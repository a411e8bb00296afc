"""Names on the aggregated endpoint: which server a tool, a prompt or a resource belongs to.

A tool is called ``{prefix}__{tool}`` there, whatever other servers there are, so that nothing is renamed when one more
comes. A prefix that is plain (it has no ``__`` in it and no ``_`` at its end) can be told from what follows it by the
first ``__``. What cannot be a tool's name for a model (64 of ``A-Z a-z 0-9 _ -``), or has a prefix that is not plain,
is shortened and ends in a digest of the whole name.

Resources keep their URIs unless two servers have the same: then each is ``{server}+{uri}``, in the letters that a URI's
scheme may have. ``ui://`` stays ``ui://``: clients look for it.

What begins with the prefix or the scheme of a server is that server's, or nobody's: no other one can take its place by
what it calls its own things.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

SEPARATOR: Final = "__"
MAX_NAME: Final = 64
DIGEST: Final = 8
UI: Final = "ui://"
_STRANGE = re.compile(r"[^A-Za-z0-9_-]")


class Owner(msgspec.Struct, frozen=True):
    """What a name stands for."""

    server: str
    """Its id."""
    name: str
    """As the server has it."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A server and what it has, as far as that is known."""

    server: str
    prefix: str
    names: Sequence[str] = ()
    renamed: Mapping[str, str] = {}
    """Names that an operator has given to some of them."""


def joined(prefix: str, name: str) -> str:
    """What ``name`` of the server with this prefix is called."""
    whole = prefix + SEPARATOR + name
    clean = _STRANGE.sub("_", whole)
    if clean == whole and len(whole) <= MAX_NAME and is_plain(prefix):
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:DIGEST]
    return f"{clean[: MAX_NAME - DIGEST - 1]}_{digest}"


def is_plain(prefix: str) -> bool:
    """Whether one sees where it ends."""
    return SEPARATOR not in prefix and not prefix.endswith("_")


class Names:
    """The names of all that some servers have."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._owners: dict[str, Owner] = {}
        self._names: dict[Owner, str] = {}
        self._bare: dict[str, list[Owner]] = {}
        self._prefixes: dict[str, str] = {}
        sources = tuple(sources)
        self._taken = tuple(source.prefix + SEPARATOR for source in sources)
        """How no bare name begins."""
        for source in sources:
            if is_plain(source.prefix):
                self._prefixes.setdefault(source.prefix, source.server)
            for name, given in source.renamed.items():
                self._add(Owner(source.server, name), given)
            for name in source.names:
                owner = Owner(source.server, name)
                self._bare.setdefault(name, []).append(owner)
                if name not in source.renamed:
                    self._add(owner, joined(source.prefix, name))

    def _add(self, owner: Owner, name: str) -> None:
        # The first keeps it; the other one has no name, and so is not to be seen.
        if self._owners.setdefault(name, owner) == owner:
            self._names[owner] = name

    def name_of(self, server: str, name: str) -> str | None:
        """What is told to clients; ``None``: something else goes by that name."""
        return self._names.get(Owner(server, name))

    def find(self, name: str, is_shown: Callable[[Owner], bool] = lambda _: True) -> Owner | None:
        """What a client means: a whole name, or one without its prefix if only one server has it that ``is_shown``.

        A whole name is understood although the list of its server is not known.
        """
        owner = self._owners.get(name)
        if owner is not None:
            return owner
        if not name.startswith(self._taken):
            shown = [one for one in self._bare.get(name, ()) if is_shown(one)]
            return shown[0] if len(shown) == 1 else None
        prefix, _, rest = name.partition(SEPARATOR)
        server = self._prefixes.get(prefix) if rest else None
        return None if server is None else Owner(server, rest)


# -- resources --------------------------------------------------------------------------------------------------------


def scheme_of(server: str) -> str:
    """A server's id in the letters of a URI's scheme; ids that differ in case or punctuation only have the same."""
    made = server.lower().replace("_", ".")
    return f"s{made}" if made[:1].isdigit() else made


def qualified(server: str, uri: str) -> str:
    """The URI of a resource that other servers have too."""
    return uri if uri.startswith(UI) else f"{scheme_of(server)}+{uri}"


def taken_scheme(uri: str) -> str | None:
    """What a URI that :func:`qualified` has made, or looks like it, begins with; ``None``: it does not."""
    prefix, separator, _ = uri.partition("+")
    return prefix.lower() if separator else None


def owner_of(uri: str, servers: Collection[str]) -> Owner | None:
    """What :func:`qualified` has made, if it was for one of these servers."""
    scheme = taken_scheme(uri)
    found = [one for one in servers if scheme_of(one) == scheme]
    return Owner(found[0], uri.partition("+")[2]) if len(found) == 1 else None


def is_taken(uri: str, servers: Collection[str]) -> bool:
    """Whether it begins like those of one of these servers, so that it is not to be looked for in their lists."""
    scheme = taken_scheme(uri)
    return scheme is not None and any(scheme_of(one) == scheme for one in servers)
