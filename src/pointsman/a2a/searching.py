"""Which agents a client of the registry asks for, and which part of them."""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, Final, Literal

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.wire.words import Index, words

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
MAX_TEXT: Final = 1000
"""Characters of what is asked for, and of each text that a card says."""
MAX_SKILLS: Final = 50
MAX_SAID: Final = 200
"""Texts of an agent that are looked through."""
State = Literal["unknown", "healthy", "unhealthy"]
FLAGS: Final[Mapping[str, bool]] = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an agent."""

    id: str
    name: str
    description: str = ""
    capabilities: tuple[str, ...] = ()
    """As it was registered with."""
    card: Mapping[str, Any] = {}
    """In the form of version 1.0, whatever it holds; it is somebody else's."""
    state: State = "unknown"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for; empty texts say nothing."""

    capability: str = ""
    """A name that it was registered with, one of its card (``streaming``), or the tag or id of a skill."""
    skill: str = ""
    """Its id or its name."""
    tag: str = ""
    q: str = ""
    """What is to be done, in some words: the best come first."""
    is_healthy: bool | None = None
    """``False``: those of which it is known that they are not."""
    limit: int = DEFAULT_LIMIT
    after: str = ""
    """The id of the last agent of the page before."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a list."""

    ids: tuple[str, ...]
    next_cursor: str | None
    """``None``: it is the last one."""


def read_query(text: Callable[[str], str | None]) -> Wanted:
    """The query of a path; ``text`` gives a member of it by name.

    :raises InvalidRequest: it asks for something that is not there to be asked for
    """
    texts = {name: (text(name) or "").strip() for name in ("capability", "skill", "tag", "q")}
    for name, given in texts.items():
        if len(given) > MAX_TEXT:
            raise InvalidRequest(f"{name} is longer than {MAX_TEXT} characters", param=name)
    healthy = (text("healthy") or "").strip().lower()
    if healthy and healthy not in FLAGS:
        raise InvalidRequest("healthy must be true or false", param="healthy")
    return Wanted(
        **texts,
        is_healthy=FLAGS.get(healthy),
        limit=_limit(text("limit") or ""),
        after=_after(text("cursor") or ""),
    )


def find(entries: Iterable[Entry], wanted: Wanted) -> Page:
    """One page of what fits: by id, or the best first where words are asked for.

    :raises InvalidRequest: the cursor is of another list
    """
    fitting = sorted((one for one in entries if _fits(one, wanted)), key=lambda one: one.id)
    if wanted.q:
        ids = Index((one.id, _words_of(one)) for one in fitting).search(wanted.q, len(fitting))
        if wanted.after and wanted.after not in ids:
            raise InvalidRequest("The list is another one by now: begin again without a cursor", param="cursor")
        rest = ids[ids.index(wanted.after) + 1 :] if wanted.after else ids
    else:
        rest = [one.id for one in fitting if one.id > wanted.after]
    page = tuple(rest[: wanted.limit])
    return Page(ids=page, next_cursor=_cursor(page[-1]) if len(rest) > len(page) else None)


def _fits(one: Entry, wanted: Wanted) -> bool:
    if wanted.is_healthy is not None and one.state != ("healthy" if wanted.is_healthy else "unhealthy"):
        return False
    if not (wanted.tag or wanted.skill or wanted.capability):
        return True
    skills = list(_skills(one.card))
    tags = {tag.lower() for skill in skills for tag in _texts(skill.get("tags"))} | _lower(one.capabilities)
    ids = _lower(_texts([skill.get("id") for skill in skills])) | _lower(one.capabilities)
    names = _lower(_texts([skill.get("name") for skill in skills]))
    if wanted.tag and wanted.tag.lower() not in tags:
        return False
    if wanted.skill and wanted.skill.lower() not in ids | names:
        return False
    return not wanted.capability or wanted.capability.lower() in ids | tags | _lower(_capabilities(one.card))


def _capabilities(card: Mapping[str, Any]) -> Iterator[str]:
    """Names of what a card says that it can do."""
    found = card.get("capabilities")
    for name, value in found.items() if isinstance(found, Mapping) else ():
        if value is True:
            yield str(name)


def _skills(card: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    found = card.get("skills")
    for skill in found if isinstance(found, list | tuple) else ():
        if isinstance(skill, Mapping):
            yield skill


def _words_of(one: Entry) -> Counter[str]:
    texts = [one.name, one.description, *one.capabilities, *_texts([one.card.get("description")])]
    for skill in islice(_skills(one.card), MAX_SKILLS):
        texts += _texts([skill.get("name"), skill.get("description")])
        texts += [*_texts(skill.get("tags")), *_texts(skill.get("examples"))]
    return _counted(tuple(texts[:MAX_SAID]))


@lru_cache(maxsize=1024)
def _counted(texts: tuple[str, ...]) -> Counter[str]:
    """Counted once for each agent, as long as it says the same."""
    return Counter(word for text in texts for word in words(text[:MAX_TEXT]))


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list | tuple) else []


def _lower(texts: Iterable[str]) -> set[str]:
    return {text.lower() for text in texts}


# -- pages ------------------------------------------------------------------------------------------------------------


def _limit(text: str) -> int:
    if not text:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_LIMIT)) and 0 < int(text) <= MAX_LIMIT):
        raise InvalidRequest(f"limit must be a whole number from 1 to {MAX_LIMIT}", param="limit")
    return int(text)


def _cursor(agent_id: str) -> str:
    return base64.urlsafe_b64encode(agent_id.encode()).decode().rstrip("=")


def _after(text: str) -> str:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidRequest("This is no cursor of this list", param="cursor") from None
