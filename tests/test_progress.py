import io
from collections.abc import Iterator

from mdti.errors import SettingError
from mdti.net.meter import Counters
from mdti.progress import Progress, progress_line


def written(*, waits: list[bool], counters: Iterator[Counters], width: int = 80) -> str:
    stream = io.StringIO()
    clock = iter([0.0, 1.26, 2.5])
    progress = Progress(
        stream,
        "Looking up 3 hosts",
        lambda: next(counters),
        width=width,
        clock=lambda: next(clock),
        wait=lambda seconds: waits.pop(0),
    )
    with progress:
        pass
    return stream.getvalue()


def test_the_line_counts_what_was_sent_since_it_opened() -> None:
    assert progress_line("Reading", Counters(5, 1), Counters(6, 1), 0.04) == (
        "Reading: 1 request, 0.0 s"
    )
    assert progress_line("Reading", Counters(), Counters(1_200, 4), 2.06) == (
        "Reading: 1,200 requests, 4 throttled, 2.1 s"
    )


def test_the_line_is_rewritten_in_place_and_leaves_nothing_behind() -> None:
    counters = iter([Counters(), Counters(12), Counters(30, 2)])
    assert written(waits=[False, False, True], counters=counters).split("\r\x1b[K") == [
        "",
        "Looking up 3 hosts: 12 requests, 1.3 s",
        "Looking up 3 hosts: 30 requests, 2 throttled, 2.5 s",
        "",
    ]


def test_a_line_never_wraps_on_a_narrow_terminal() -> None:
    counters = iter([Counters(), Counters(12)])
    shown = written(waits=[False, True], counters=counters, width=20)
    assert "\r\x1b[KLooking up 3 hosts:\r" in shown


def test_work_that_cannot_begin_shows_no_line() -> None:
    def broken() -> Iterator[Counters]:
        raise SettingError("GRAPH_ENDPOINT must be a URL.")
        yield

    assert written(waits=[], counters=broken()) == ""
