"""Every effect of a feed's process, and what is lost when it ends or stands still there: nothing.

Files and blobs, a destination that can be listed and one that revokes, calls one by one and several
under way at once. Run: `python -m tests.bench.crashes`; Azurite is needed.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from tests.azurite.server import missing, running
from tests.bench.report import Row, show
from tests.feeds import crashes
from tests.feeds.blob_place import containers
from tests.feeds.crashes import PARALLEL, SIZE, Figures, each, folders, stage

KINDS = {"listable": False, "revoking": True}


def run() -> Iterator[Row]:
    """Yield the figures of every kind; AssertionError where something was lost."""
    with TemporaryDirectory() as folder, patch("mdti.store.files.os.fsync"):
        for kind, revokes in KINDS.items():
            yield from _files(Path(folder) / kind, kind, revokes=revokes)
        for kind, revokes in KINDS.items():
            yield from _blobs(Path(folder) / f"blobs-{kind}", kind, revokes=revokes)


def _files(folder: Path, kind: str, *, revokes: bool) -> Iterator[Row]:
    alone = stage(folder / "alone", revokes=revokes)
    yield from _rows(f"files, {kind}: ends", crashes.end(alone, folders(alone, folder / "a")))
    yield from _rows(f"files, {kind}: pauses", crashes.pause(alone, folders(alone, folder / "b")))
    busy = stage(folder / "busy", revokes=revokes, parallel=PARALLEL)
    figures = crashes.end(busy, folders(busy, folder / "c"))
    yield from _rows(f"files, {kind}, {PARALLEL} calls at once: ends", figures)
    yield Row("  calls that landed after the end", figures.late, "calls", at_least=1)


def _blobs(folder: Path, kind: str, *, revokes: bool) -> Iterator[Row]:
    folder.mkdir()
    made = stage(folder / "first", revokes=revokes, feeds=1)
    with running(folder) as server, containers(made, server) as places:
        yield from _rows(f"blobs, {kind}: ends", crashes.end(made, places, each))
        yield from _rows(f"blobs, {kind}: pauses", crashes.pause(made, places))


def _rows(name: str, figures: Figures) -> Iterator[Row]:
    yield Row(name, figures.ends, "moments", at_least=figures.effects)
    yield Row("  effects of one process", figures.effects, "effects")
    yield Row("  runs, after which nothing was lost", figures.runs, "runs")


if __name__ == "__main__":
    if reason := missing():
        sys.exit(reason)
    sys.exit(0 if show(f"crashes, feeds of {SIZE}", run()) else 1)
