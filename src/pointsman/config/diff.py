"""What differs between two snapshots, in words that hold no credential.

Deployments are matched by their id, and those whose id is made of what they are by model, provider and address.
Texts are shown where the settings have a field for them; in what an operator can write freely (headers, request
fields, arguments of a provider) a text may be a credential, so only its name is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from pointsman.config.check import is_secret_name, without_credentials
from pointsman.config.snapshot import Snapshot
from pointsman.providers.base import Deployment

if TYPE_CHECKING:
    from pointsman.a2a.settings import A2aSettings, AgentSettings
    from pointsman.mcp.settings import McpSettings, ServerSettings

T = TypeVar("T", "ServerSettings", "AgentSettings")
What = Literal["added", "removed", "changed"]
SIGNS: dict[What, str] = {"added": "+", "removed": "-", "changed": "~"}
SECTIONS = ("access", "routing", "upstream", "serving", "stores")
HIDDEN = ("headers", "identity", "command", "env", "static_headers", "metadata", "card")
"""Fields in which any text may be a credential."""
ADDRESSES = ("base_url", "url", "token_url", "card_url", "public_url")
"""Fields with addresses, of which the parts are shown that hold no credential."""
MAX_TEXT = 80
MAX_NAMED = 5


class Change(msgspec.Struct, frozen=True):
    """One difference."""

    path: str
    """Such as ``routing.num_retries`` or ``deployments[gpt-4o/primary].rpm``."""
    what: What
    text: str
    """From what to what, as far as that may be shown."""

    def __str__(self) -> str:
        """One line."""
        return f"{SIGNS[self.what]} {self.path}" + (f": {self.text}" if self.text else "")


def changes(old: Snapshot, new: Snapshot) -> tuple[Change, ...]:
    """All differences: deployments first, then settings; empty when the snapshots do the same."""
    found = list(_deployments(old.deployments, new.deployments))
    for name in SECTIONS:
        found += _compare(name, getattr(old, name), getattr(new, name))
    found += _mcp(old.mcp, new.mcp)
    found += _a2a(old.a2a, new.a2a)
    if old.models is not new.models and old.models != new.models:
        found.append(Change("prices_file", "changed", "other prices or sizes of models"))
    if old.is_master_key_automatic != new.is_master_key_automatic:
        found.append(_changed("access.master_key", old.is_master_key_automatic, new.is_master_key_automatic))
    if old.has_canary_check != new.has_canary_check:
        found.append(_changed("canary_check", old.has_canary_check, new.has_canary_check))
    return tuple(found)


def _deployments(old: Sequence[Deployment], new: Sequence[Deployment]) -> Iterator[Change]:
    before, after = ({one.id: one for one in some} for some in (old, new))
    pairs = [(before[one.id], one) for one in new if one.id in before]
    gone: dict[tuple[str, ...], list[Deployment]] = {}
    for one in old:
        if one.id not in after:
            gone.setdefault(_likeness(one), []).append(one)
    come: list[Deployment] = []
    for one in new:
        if one.id not in before:
            if like := gone.get(_likeness(one)):
                pairs.append((like.pop(0), one))
            else:
                come.append(one)
    yield from (Change(_name(one), "removed", _described(one)) for some in gone.values() for one in some)
    yield from (Change(_name(one), "added", _described(one)) for one in come)
    for one, other in (pair for pair in pairs if pair[0] != pair[1]):
        for field in one.__struct_fields__:
            # Most are equal, of thousands of deployments.
            if field != "id" and getattr(one, field) != getattr(other, field):
                yield from _compare(f"{_name(other)}.{field}", getattr(one, field), getattr(other, field))
    if before.keys() == after.keys() and list(before) != list(after):
        yield Change("deployments", "changed", "their order")


def _mcp(old: McpSettings | None, new: McpSettings | None) -> Iterator[Change]:
    if old == new:
        return
    from pointsman.mcp.settings import McpSettings  # noqa: PLC0415  the settings of MCP, which few need

    old, new = old or McpSettings(), new or McpSettings()
    yield from _entries("mcp_servers", old.servers, new.servers, _server)
    yield from _compare("mcp", msgspec.structs.replace(old, servers=()), msgspec.structs.replace(new, servers=()))


def _a2a(old: A2aSettings | None, new: A2aSettings | None) -> Iterator[Change]:
    if old == new:
        return
    from pointsman.a2a.settings import A2aSettings  # noqa: PLC0415  the settings of A2A, which few need

    old, new = old or A2aSettings(), new or A2aSettings()
    yield from _entries("agents", old.agents, new.agents, _agent)
    yield from _compare("a2a", msgspec.structs.replace(old, agents=()), msgspec.structs.replace(new, agents=()))


def _entries(section: str, old: Sequence[T], new: Sequence[T], described: Callable[[T], str]) -> Iterator[Change]:
    before, after = ({one.id: one for one in some} for some in (old, new))
    gone = [name for name in before if name not in after]
    yield from (Change(f"{section}[{name}]", "removed", described(before[name])) for name in gone)
    come = [name for name in after if name not in before]
    yield from (Change(f"{section}[{name}]", "added", described(after[name])) for name in come)
    for name in (name for name in after if name in before):
        yield from _compare(f"{section}[{name}]", before[name], after[name])


def _server(one: ServerSettings) -> str:
    return f"{one.transport} at {_shown(one.url)}" if one.url else one.transport


def _agent(one: AgentSettings) -> str:
    return f"model {_shown(one.model)}" if one.model else f"at {_shown(one.url)}"


def _likeness(one: Deployment) -> tuple[str, ...]:
    return one.model_name, one.vendor.name, one.upstream_model, one.base_url


def _name(one: Deployment) -> str:
    return f"deployments[{_shown(one.model_name)}/{_shown(one.id)[:12]}]"


def _described(one: Deployment) -> str:
    return f"{one.vendor.name}/{_shown(one.upstream_model)} at {_shown(one.base_url)}"


def _compare(path: str, old: Any, new: Any, *, is_free: bool = False) -> Iterator[Change]:
    """``is_free``: it is within something that an operator can write freely."""
    if old is new or old == new:
        return
    is_free = is_free or path.rpartition(".")[2] in HIDDEN
    if isinstance(old, msgspec.Struct) and type(old) is type(new):
        for field in old.__struct_fields__:
            yield from _compare(f"{path}.{field}", getattr(old, field), getattr(new, field), is_free=is_free)
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        is_free = is_free or _is_free(old) or _is_free(new)
        for key in (*old, *(key for key in new if key not in old)):
            yield from _entry(f"{path}.{_shown(str(key))}", old.get(key), new.get(key), is_free=is_free)
    elif _may_show(path, old, new, is_free=is_free):
        yield _changed(path, old, new)
    else:
        yield Change(path, "changed", "")


def _entry(path: str, old: Any, new: Any, *, is_free: bool) -> Iterator[Change]:
    if old is None or new is None:
        one = new if old is None else old
        text = _shown(one) if _may_show(path, one, is_free=is_free) else ""
        yield Change(path, "added" if old is None else "removed", text)
    else:
        yield from _compare(path, old, new, is_free=is_free)


def _is_free(value: Mapping[Any, Any]) -> bool:
    """Whether a mapping holds texts, and no settings of ours."""
    return not all(isinstance(one, msgspec.Struct | tuple) for one in value.values())


def _may_show(path: str, *values: Any, is_free: bool) -> bool:
    if _is_plain(*values):
        return True
    name = path.rpartition(".")[2]
    return not (is_free or (is_secret_name(name) and name not in ADDRESSES))


def _is_plain(*values: Any) -> bool:
    return all(value is None or isinstance(value, bool | int | float | Decimal) for value in values)


def _changed(path: str, old: Any, new: Any) -> Change:
    return Change(path, "changed", f"{_shown(old)} to {_shown(new)}")


def _shown(value: Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, msgspec.Struct):
        said = {name: getattr(value, name) for name in value.__struct_fields__}
        texts = {name: one for name, one in said.items() if isinstance(one, str) and not is_secret_name(name) and one}
        return ", ".join(f"{name} {_shown(one)}" for name, one in texts.items()) or "set"
    if isinstance(value, list | tuple | frozenset | set):
        names = [_shown(one) for one in (sorted(value, key=str) if isinstance(value, frozenset | set) else value)]
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        return ", ".join(names[:MAX_NAMED]) + more if names else "none"
    return _text(str(value))


def _text(text: str) -> str:
    safe = without_credentials(text)
    clean = safe if safe.isprintable() else "".join(char if char.isprintable() else "?" for char in safe)
    return clean if len(clean) <= MAX_TEXT else clean[: MAX_TEXT - 3] + "..."
