"""The process ends, or stands still, between any two requests to the blob service.

One effect of each kind, chosen by a seed; `python -m tests.bench crashes` does them all.
"""

from functools import partial
from pathlib import Path

import pytest

from tests.azurite.server import Azurite
from tests.feeds import crashes
from tests.feeds.blob_place import containers
from tests.feeds.crashes import one_of_each_kind, stage


@pytest.mark.parametrize("revokes", [False, True], ids=["listable", "revoking"])
def test_no_end_of_the_process_loses_anything_that_is_in_blobs(
    tmp_path: Path, azurite: Azurite, revokes: bool
) -> None:
    made = stage(tmp_path / "first", revokes=revokes, feeds=1)
    with containers(made, azurite) as places:
        figures = crashes.end(made, places, partial(one_of_each_kind, seed=int(revokes)))
    print(figures)
    assert figures.ends >= 10


def test_no_pause_past_the_lease_loses_anything_that_is_in_blobs(
    tmp_path: Path, azurite: Azurite
) -> None:
    made = stage(tmp_path / "first", feeds=1)
    with containers(made, azurite) as places:
        figures = crashes.pause(made, places, partial(one_of_each_kind, seed=2))
    print(figures)
    assert figures.ends >= 10
