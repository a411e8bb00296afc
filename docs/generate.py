"""Writes the generated pages of docs/reference from the code that they describe. ``--check`` only compares."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from pointsman.access.policy import POLICY, ROLES, ROUTE_GROUPS, Access
from pointsman.config.schema import schema_text
from pointsman.edge.table import ROUTES
from pointsman.providers.registry import facts_date, load_facts, load_vendors
from pointsman.telemetry.metrics import METRICS

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from matrix import table

REFERENCE = Path(__file__).parent / "reference"
ROLE_NAMES = {
    "master": "master key",
    "admin": "key of an admin",
    "team_admin": "key of a team's admin",
    "key": "any other key",
    "read_only": "key of a read-only admin",
    "none": "no key",
}


def endpoints() -> str:
    """Every path, from the table that serves them."""
    lines = ["# Endpoints", "", "Who may call what kind of path is in [who may do what](access.md).", ""]
    lines += ["| method | path | kind |", "|---|---|---|"]
    lines += [f"| {one.method} | `{one.path}` | {one.access.name.lower()} |" for one in ROUTES]
    return "\n".join(lines) + "\n"


def access() -> str:
    """Who may call which route, from the policy that decides it."""
    titles = [ROLE_NAMES[role] for role in ROLES]
    lines = [
        "# Who may do what",
        "",
        "Each path is of one kind; what the table does not name is refused. Which rows a key then sees and changes",
        "is narrower: its own, those of its user, or those of the team that its user administers. Nothing that a",
        "key makes can do more than the key itself; admins set any limit, but give nobody more paths than they have.",
        "Without a master key every caller is the master.",
        "",
        f"| kind | what it does | {' | '.join(titles)} |",
        "|---" * (len(titles) + 2) + "|",
    ]
    for kind in Access:
        marks = ["yes" if role in POLICY[kind] else "-" for role in ROLES]
        lines.append(f"| {kind.name.lower()} | {kind.value} | {' | '.join(marks)} |")
    lines += ["", "## Names of groups in `allowed_routes`", "", "| name | kinds |", "|---|---|"]
    for name, kinds in ROUTE_GROUPS.items():
        told = ", ".join(kind.name.lower() for kind in Access if kind in kinds)
        lines.append(f"| `{name}` | {told} |")
    lines += ["", "## Each path", "", f"| method | path | {' | '.join(titles)} |"]
    lines.append("|---" * (len(titles) + 2) + "|")
    for route in ROUTES:
        marks = ["yes" if role in route.roles else "-" for role in ROLES]
        lines.append(f"| {route.method} | `{route.path}` | {' | '.join(marks)} |")
    return "\n".join(lines) + "\n"


def metrics() -> str:
    """Every metric, from the table that exposes them."""
    lines = ["# Metrics", "", "At `/metrics`, in Prometheus' text format.", "", "| name | kind | labels | what |"]
    lines.append("|---|---|---|---|")
    lines += [f"| `{m.name}` | {m.kind} | {', '.join(m.labels)} | {m.help} |" for m in METRICS]
    return "\n".join(lines) + "\n"


def providers() -> str:
    """Every vendor, with the variables that hold its key."""
    known = load_facts()
    lines = [
        "# Providers",
        "",
        f"`model: provider/model` in a config. Prices and context sizes are as of {facts_date()};",
        "[more of them](../how-to/prices.md).",
        "",
        "| provider | address | key from | models known |",
        "|---|---|---|---|",
    ]
    for name, vendor in load_vendors().items():
        keys = ", ".join(f"`{variable}`" for variable in vendor.key_env)
        lines.append(f"| {name} | {vendor.base_url or '`api_base`'} | {keys} | {len(known.get(name, ()))} |")
    return "\n".join(lines) + "\n"


def pages() -> Mapping[Path, str]:
    """What the generated files should hold."""
    return {
        REFERENCE / "access.md": access(),
        REFERENCE / "endpoints.md": endpoints(),
        REFERENCE / "metrics.md": metrics(),
        REFERENCE / "providers.md": providers(),
        REFERENCE / "dialects.md": table.page(),
        REFERENCE / "config.schema.json": schema_text(),
    }


def main() -> None:
    """Write the pages, or name those that are stale and fail."""
    if "--check" in sys.argv[1:]:
        stale = [path.name for path, text in pages().items() if not path.exists() or path.read_text() != text]
        if stale:
            sys.exit(f"stale: {', '.join(stale)}; run `make docs`")
        return
    for path, text in pages().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
