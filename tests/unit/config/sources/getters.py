"""A bucket in memory."""

from __future__ import annotations

from pointsman.config.sources.base import SourceCounts, SourceDown
from pointsman.config.sources.stores import Got


class Memory:
    """Answers as a bucket does; an object's ETag counts its versions."""

    def __init__(self, **objects: bytes) -> None:
        self.counts = SourceCounts()
        self.is_down = False
        self.asked: list[tuple[str, str | None]] = []
        self._objects: dict[str, Got] = {}
        self._versions = 0
        for key, data in objects.items():
            self.put(key, data)

    def put(self, key: str, data: bytes) -> None:
        self._versions += 1
        self._objects[key] = Got(f'"v{self._versions}"', data)

    def delete(self, key: str) -> None:
        del self._objects[key]

    async def get(self, key: str, etag: str | None, limit: int) -> Got | None:
        self.counts.requests += 1
        self.asked.append((key, etag))
        if self.is_down:
            raise SourceDown("it does not answer")
        if key not in self._objects:
            raise SourceDown(f"there is no {key}", is_absent=True)
        found = self._objects[key]
        if found.etag == etag:
            self.counts.unchanged += 1
            return None
        return Got(found.etag, found.data[: limit + 1])
