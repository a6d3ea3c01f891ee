"""The process ends, or stands still, before and after each of its effects once.

Then it starts anew, and the destination holds exactly what is wanted.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.feeds import crashes
from tests.feeds.crashes import PARALLEL, folders, stage
from tests.feeds.effects import Effects

revoking = pytest.mark.parametrize("revokes", [False, True], ids=["listable", "revoking"])


@revoking
def test_no_end_of_the_process_loses_anything(tmp_path: Path, revokes: bool) -> None:
    made = stage(tmp_path / "first", revokes=revokes)
    figures = crashes.end(made, folders(made, tmp_path))
    print(figures)
    assert figures.effects > 30
    assert figures.ends == 2 * figures.effects


@revoking
def test_no_end_of_the_process_loses_anything_while_calls_are_under_way(
    tmp_path: Path, revokes: bool
) -> None:
    made = stage(tmp_path / "first", revokes=revokes, parallel=PARALLEL)
    figures = crashes.end(made, folders(made, tmp_path), crashes.each)
    print(figures)
    assert figures.effects > 30
    assert figures.late >= 10
    assert figures.at_once == PARALLEL


@revoking
def test_no_pause_past_the_lease_loses_anything(tmp_path: Path, revokes: bool) -> None:
    made = stage(tmp_path / "first", revokes=revokes)
    figures = crashes.pause(made, folders(made, tmp_path))
    print(figures)
    assert figures.ends == 2 * figures.effects


@pytest.mark.parametrize("seed", range(12))
def test_no_row_of_ends_of_the_process_loses_anything_of_a_larger_feed(
    tmp_path: Path, seed: int
) -> None:
    die = random.Random(seed)
    first = stage(
        tmp_path / "first",
        size=300,
        revokes=seed % 2 == 1,
        parallel=die.choice((1, PARALLEL)),
        capacity=150 if seed % 3 == 0 else None,
    )
    made = first.scene(first.files(tmp_path / "state"), seed=seed)
    for effects in _ends(die):
        made.run_until(effects)
    made.check()


def _ends(die: random.Random) -> Iterator[Effects]:
    for _ in range(4):
        yield Effects(die.randrange(1, 90), die.choice(("before", "after")))
