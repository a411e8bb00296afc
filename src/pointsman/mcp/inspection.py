"""Which tools of a list must not be shown: those that are broken, and those that nobody has approved as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from pointsman.mcp.pinning import Pins
from pointsman.mcp.protocol.lint import faults
from pointsman.mcp.protocol.listings import Item
from pointsman.mcp.settings import ServerSettings

NOT_APPROVED: Final = "its definition is not the one that was approved"


class Inspection:
    """Looks at each list of tools that was read."""

    def __init__(self, pins: Pins) -> None:
        self._pins = pins

    async def __call__(self, settings: ServerSettings, items: Sequence[Item]) -> Mapping[str, str]:
        """Why tools must not be shown, by name."""
        found: dict[str, str] = {}
        sound: list[dict[str, Any]] = []
        for item in items:
            tool = msgspec.json.decode(item.raw)
            wrong = faults(tool)
            if wrong:
                found[item.key] = "; ".join(wrong)
            else:
                sound.append(tool)
        blocked = await self._pins.check(settings, sound)
        return found | dict.fromkeys(blocked, NOT_APPROVED)
