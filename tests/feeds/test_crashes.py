"""Every effect of a feed is numbered, and the process ends before and after each of them once.

Then it starts anew, twice, and the destination holds exactly what is wanted. An effect is a write,
an append or a deletion in the store, a call of the destination, or a page of the source.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from mdti.feeds.ports import Limits
from mdti.feeds.route import Terms
from tests.feeds.fakes import Effects, FakeDestination, FakeSource, Killed, Place, ip, wanted

When = Literal["before", "after"]
SIZE = 30


@dataclass
class Scene:
    """A feed that has run, and then changed; one other feed into the same destination."""

    place: Place
    size: int
    revokes: bool
    sources: list[FakeSource] = field(init=False)
    destination: FakeDestination = field(init=False)

    def __post_init__(self) -> None:
        self.sources = [FakeSource("taxii", page=8), FakeSource("anyrun", page=8)]
        self.destination = FakeDestination(
            limits=Limits(batch=6, per_minute=60_000),
            listable=not self.revokes,
            revokes=self.revokes,
        )
        main, other = self.sources
        for number in range(self.size):
            main.put(f"object-{number}", ip(number))
        for number in range(self.size // 2, self.size):
            other.put(f"other-{number}", ip(number, confidence=40))
        self.run()
        for number in range(0, self.size, 3):
            main.put(f"object-{number}", ip(number, confidence=95))
        for number in range(1, self.size, 3):
            main.remove(f"object-{number}")
        for number in range(self.size, self.size + self.size // 3):
            main.put(f"object-{number}", ip(number))

    def run(self) -> None:
        for source in self.sources:
            self.place.run(source, self.destination)

    def run_until(self, effects: Effects) -> bool:
        """Run under these effects; return whether it came to its end."""
        self._use(effects)
        try:
            self.run()
        except Killed:
            return False
        finally:
            self.place.restart()
            self._use(Effects())
        return True

    def _use(self, effects: Effects) -> None:
        self.place.effects = self.destination.effects = effects
        for source in self.sources:
            source.effects = effects

    def check(self) -> None:
        self.run()
        self.run()
        desired = wanted(*self.sources)
        if (capacity := self.place.terms.capacity) is not None:
            assert len(self.destination.ours) == min(capacity, len(desired))
            assert all(desired[key] == row for key, row in self.destination.ours.items())
        else:
            assert self.destination.ours == desired
        assert self.destination.wrongs == []
        calls = len(self.destination.calls)
        self.run()
        assert len(self.destination.calls) == calls


def scene(folder: Path, *, size: int = SIZE, revokes: bool = False) -> Scene:
    return Scene(Place(folder), size, revokes)


@pytest.mark.parametrize("revokes", [False, True], ids=["listable", "revoking"])
def test_no_end_of_the_process_loses_anything(tmp_path: Path, revokes: bool) -> None:
    count = _effects(tmp_path / "whole", revokes)
    assert count >= 25
    print(f"{count} effects of two feeds of {SIZE}, the process ended before and after each")
    for at in range(1, count + 1):
        for when in ("before", "after"):
            made = scene(tmp_path / f"{at}-{when}", revokes=revokes)
            effects = Effects(at, "before" if when == "before" else "after")
            assert not made.run_until(effects), (at, when)
            made.check()


def _effects(folder: Path, revokes: bool) -> int:
    made, effects = scene(folder, revokes=revokes), Effects()
    assert made.run_until(effects)
    made.check()
    return effects.count


@pytest.mark.parametrize("seed", range(12))
def test_no_row_of_ends_of_the_process_loses_anything_of_a_larger_feed(
    tmp_path: Path, seed: int
) -> None:
    die = random.Random(seed)
    made = scene(tmp_path / "state", size=300, revokes=seed % 2 == 1)
    if seed % 3 == 0:
        made.place.terms = Terms(capacity=150)
    for effects in _ends(die):
        made.run_until(effects)
    made.check()


def _ends(die: random.Random) -> Iterator[Effects]:
    for _ in range(4):
        yield Effects(die.randrange(1, 60), die.choice(("before", "after")))


@pytest.mark.parametrize("revokes", [False, True], ids=["listable", "revoking"])
def test_no_pause_past_the_lease_loses_anything(tmp_path: Path, revokes: bool) -> None:
    count = _effects(tmp_path / "whole", revokes)
    for at in range(1, count + 1):
        made = scene(tmp_path / str(at), revokes=revokes)
        paused = Effects(at, "before")

        def meanwhile(made: Scene = made, paused: Effects = paused) -> None:
            paused.at = None
            made.place.time.forward(seconds=61)
            made.run()

        paused.pause = meanwhile
        made.run_until(paused)
        made.check()
