"""Two feeds into one destination, whose process ends, or stands still, at any of its effects.

An effect is whatever changes something outside the process (a write, an append, a deletion or a
lease in the store, a call of the destination) or brings something in (a page of the source).
"""

import random
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Literal

from mdti.errors import Conflict
from mdti.feeds.ports import Limits
from mdti.feeds.route import Terms
from tests.feeds.effects import Effects, Killed, When
from tests.feeds.fakes import FakeDestination, FakeSource, Place, ip, wanted
from tests.feeds.under_way import BusyDestination, threads_of

SIZE = 30
PARALLEL = 3
_ROLES = ("leases", "runs", "pointer", "journal")


@dataclass
class Scene:
    """A feed that has run, and whose source has changed since; another into the same place."""

    place: Place
    sources: list[FakeSource]
    destination: FakeDestination
    runs: int = 0

    def run(self) -> None:
        """Run each feed once, as one process does; it ends after a run in which it stood still."""
        with self._threads():
            for source in self.sources:
                self._run(source)
                if self.destination.effects.paused:
                    return

    def run_until(self, effects: Effects) -> bool:
        """Run under these effects; return whether the process came to its end."""
        self.use(effects)
        try:
            self.run()
        except Killed:
            return False
        finally:
            self.place.restart()
            self.use(self.place.effects)
        return True

    def use(self, effects: Effects) -> None:
        """Number what the next process does by these effects."""
        self.place.effects = self.destination.effects = effects
        for source in self.sources:
            source.effects = effects

    def check(self) -> None:
        """Apply until everything was read and two applies are over; raise unless all is well.

        The destination is then as it is wanted, nothing happened that never may, and nothing is
        left to be sent.
        """
        self.run()
        with self._threads():
            self._run(self.sources[0])
            desired = wanted(*self.sources)
            if (capacity := self.place.terms.capacity) is not None:
                assert len(self.destination.ours) == min(capacity, len(desired))
                assert all(desired[key] == row for key, row in self.destination.ours.items())
            else:
                assert self.destination.ours == desired
            assert self.destination.wrongs == []
            calls = len(self.destination.calls)
            self._run(self.sources[-1])
            assert len(self.destination.calls) == calls

    def change(self) -> None:
        """Let the source of the first feed change once more."""
        self.sources[0].put("object-0", ip(0, confidence=55))
        self.sources[0].remove("object-3")
        self.sources[0].put("late", ip(SIZE * 10))

    def _run(self, source: FakeSource) -> None:
        self.runs += 1
        try:
            report = self.place.run(source, self.destination).report
        except Conflict:
            # It stood still while it took the feed's lease.
            assert self.destination.effects.paused
            return
        if self.destination.effects.at is None:
            assert report.error is None

    def _threads(self) -> AbstractContextManager[None]:
        if isinstance(self.destination, BusyDestination):
            return threads_of(self.destination)
        return nullcontext()


@dataclass(frozen=True)
class Stage:
    """A scene as it is before anything happens, to be played as often as one likes."""

    first: Scene
    revokes: bool

    def scene(self, place: Place, *, seed: int = 0) -> Scene:
        """Return the scene in a place that has a copy of its state."""
        sources = []
        for source in self.first.sources:
            again = FakeSource(source.name, page=source.page)
            again.log = list(source.log)
            sources.append(again)
        destination = _destination(self.first.destination.limits, self.revokes, seed)
        destination.rows = dict(self.first.destination.rows)
        destination.revoked = set(self.first.destination.revoked)
        made = Scene(place, sources, destination)
        made.use(place.effects)
        return made

    def files(self, folder: Path) -> Place:
        """Return a place whose state is a copy in that folder."""
        shutil.copytree(self.first.place.root, folder)
        place = Place(folder)
        place.terms = self.first.place.terms
        return place


def stage(
    folder: Path,
    *,
    size: int = SIZE,
    revokes: bool = False,
    parallel: int = 1,
    capacity: int | None = None,
    feeds: Literal[1, 2] = 2,
) -> Stage:
    """Return a stage where the feeds have run, and changes of every kind are to follow."""
    limits = Limits(batch=6, per_minute=60_000, parallel=parallel)
    page = 10
    main, other = sources = [FakeSource("taxii", page=page), FakeSource("anyrun", page=page)]
    place = Place(folder)
    place.terms = Terms(capacity=capacity)
    made = Scene(place, sources[:feeds], _destination(limits, revokes, 0))
    for number in range(size):
        main.put(f"object-{number}", ip(number))
    for number in range(size // 2, size):
        other.put(f"other-{number}", ip(number, confidence=40))
    made.run()
    for number in range(0, size, 3):
        main.put(f"object-{number}", ip(number, confidence=95))
    for number in range(1, size, 3):
        main.remove(f"object-{number}")
    for number in range(size, size + size // 3):
        main.put(f"object-{number}", ip(number))
    return Stage(made, revokes)


def _destination(limits: Limits, revokes: bool, seed: int) -> FakeDestination:
    if limits.parallel > 1:
        return BusyDestination(limits=limits, revokes=revokes, die=random.Random(seed))
    return FakeDestination(limits=limits, listable=not revokes, revokes=revokes)


@dataclass
class Figures:
    """What a test of crashes did: effects of one process, ends or pauses of it, runs of feeds.

    `late` is how many calls landed after their process had ended, `at_once` how many were under
    way at most.
    """

    effects: int
    ends: int = 0
    runs: int = 0
    late: int = 0
    at_once: int = 1

    def __str__(self) -> str:
        return f"{self.effects} effects, {self.ends} ends, {self.runs} runs, {self.late} late calls"

    def add(self, made: Scene) -> None:
        """Count one end or pause, after which all was well."""
        self.ends += 1
        self.runs += made.runs
        if isinstance(made.destination, BusyDestination):
            self.late += made.destination.landed_late
            self.at_once = max(self.at_once, made.destination.most_at_once)


Places = Callable[[], Place]
"""Gives one place after the other, each with a copy of a stage's state."""

Points = Callable[[Sequence[str]], Iterable[tuple[int, When]]]
"""Chooses, of the effects with these names, those to end or to pause at."""


def every(names: Sequence[str]) -> Iterator[tuple[int, When]]:
    """Choose the moments before and after each effect."""
    for at in range(1, len(names) + 1):
        yield at, "before"
        yield at, "after"


def one_of_each_kind(names: Sequence[str], *, seed: int) -> Iterator[tuple[int, When]]:
    """Choose the moment before or after one effect of each kind, by a seeded die."""
    die = random.Random(seed)
    kinds: dict[tuple[str, str], list[int]] = {}
    for at, name in enumerate(names, 1):
        verb, _, key = name.partition(" ")
        role = next((part for part in _ROLES if part in key), "")
        kinds.setdefault((verb, role), []).append(at)
    for numbers in kinds.values():
        yield die.choice(numbers), die.choice(("before", "after"))


def each(names: Sequence[str]) -> Iterator[tuple[int, When]]:
    """Choose the moment before the first effect and that after each.

    What is before the next is after the one before it, and the process forgets all else.
    """
    yield 1, "before"
    for at in range(1, len(names) + 1):
        yield at, "after"


def folders(stage: Stage, folder: Path) -> Places:
    """Give places below a folder."""
    numbers = count()
    return lambda: stage.files(folder / str(next(numbers)))


def end(stage: Stage, places: Places, points: Points = every) -> Figures:
    """End the process at each of the points; raise AssertionError where something was lost."""
    names = _effects(stage, places)
    figures = Figures(len(names))
    for at, when in points(names):
        made = stage.scene(places(), seed=at)
        assert not made.run_until(Effects(at, when)), (at, when)
        made.check()
        figures.add(made)
    return figures


def pause(stage: Stage, places: Places, points: Points = every) -> Figures:
    """Let the process stand still past its leases at each of the points, while another runs.

    Raises AssertionError where it then makes a call, or keeps anything but its report.
    """
    names = _effects(stage, places)
    figures = Figures(len(names))
    for at, when in points(names):
        made = stage.scene(places(), seed=at)
        effects = Effects(at, when)
        effects.pause = partial(_meanwhile, made, effects)
        assert made.run_until(effects), (at, when)
        _refused(effects)
        made.check()
        figures.add(made)
    return figures


def _meanwhile(made: Scene, effects: Effects) -> None:
    if not _on_its_way(effects):
        made.change()
    made.place.restart()
    made.use(made.place.effects)
    made.run()
    made.use(effects)


def _on_its_way(effects: Effects) -> bool:
    """Return whether the process stands still when its lease was checked and a call follows.

    What it sends then is sent: no destination asks who holds a lease of ours.
    """
    return (_name(effects), effects.when) in (
        ("call", "before"),
        ("renew feeds/leases/to-defender", "after"),
    )


def _name(effects: Effects) -> str:
    return effects.log[(effects.at or 0) - 1]


def _refused(effects: Effects) -> None:
    """Assert that nothing was done after the pause by a process that had lost its leases."""
    name, at = _name(effects), effects.at
    if effects.when == "before" and name.startswith("lease feeds/leases/") and "-to-" in name:
        return  # It had none yet.
    kept = [one for one in effects.done if one.split(" ")[0] in ("write", "append", "delete")]
    assert [one for one in kept if not one.startswith("write feeds/runs/")] == [], (at, name)
    assert effects.done.count("call") <= int(_on_its_way(effects)), (at, name)


def _effects(stage: Stage, places: Places) -> list[str]:
    made, effects = stage.scene(places()), Effects()
    assert made.run_until(effects)
    made.check()
    return effects.log
