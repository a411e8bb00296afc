from __future__ import annotations

from pointsman.store.schema import batches
from pointsman.store.work import BatchLease, BatchRow


def test_a_batch_has_every_column_but_those_that_say_who_has_it() -> None:
    assert set(batches.c.keys()) - set(BatchRow.__struct_fields__) == {"holder", "ready_at"}
    assert set(BatchRow.__struct_fields__) <= set(batches.c.keys())


def test_whoever_has_taken_a_batch_has_its_lease() -> None:
    values = dict.fromkeys(BatchRow.__struct_fields__, 0)
    assert BatchRow(**values | {"id": "b", "fence": 3}).lease == BatchLease("b", 3)  # type: ignore[arg-type]
