from __future__ import annotations

import numpy as np

from pointsman.ml.cells import distances, find_cells, nearest

CORNERS = np.array([[0, 0], [0, 9], [9, 0]], np.float32)


def around(count: int) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(0)
    place = np.arange(count) % 3
    return (CORNERS[place] + chance.normal(size=(count, 2))).astype(np.float32), place


def test_distances_are_squared_and_never_below_0() -> None:
    found = distances(CORNERS, CORNERS)
    np.testing.assert_allclose(found, [[0, 81, 81], [81, 0, 162], [81, 162, 0]], atol=1e-4)
    inputs = np.random.default_rng(1).normal(size=(50, 30)).astype(np.float32)
    assert (distances(inputs, inputs) >= 0).all()


def test_cells_are_where_the_rows_are() -> None:
    inputs, place = around(300)
    centres, cell = find_cells(inputs, 3, np.random.default_rng(0))
    assert sorted(nearest(CORNERS, centres)) == [0, 1, 2]
    np.testing.assert_allclose(centres[nearest(CORNERS, centres)], CORNERS, atol=0.3)
    assert len({(int(a), int(b)) for a, b in zip(place, cell, strict=True)}) == 3


def test_every_row_is_in_the_cell_that_is_nearest_and_no_cell_is_empty() -> None:
    inputs, _ = around(200)
    centres, cell = find_cells(inputs, 17, np.random.default_rng(3))
    assert np.array_equal(np.unique(cell), np.arange(len(centres)))
    assert (cell == nearest(inputs, centres)).mean() > 0.9


def test_there_are_no_more_cells_than_different_rows() -> None:
    centres, cell = find_cells(np.repeat(CORNERS, 5, axis=0), 10, np.random.default_rng(0))
    assert len(centres) == 3
    assert len(cell) == 15
    assert len(find_cells(CORNERS[:1], 4, np.random.default_rng(0))[0]) == 1
