import io
import os
import sys
from pathlib import Path

import pytest

from mdti.console import PLAIN_WIDTH, WIDEST, Console
from mdti.errors import InputError, MdtiError
from mdti.net.meter import Counters
from mdti.progress import Progress


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self.seen = io.BytesIO()
        super().__init__(self.seen, encoding=encoding)

    def isatty(self) -> bool:
        return True


def use_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the standard streams a terminal, for the test that calls this itself."""
    found = Terminal()
    monkeypatch.setattr(sys, "stdout", found)
    monkeypatch.setattr(sys, "stderr", found)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.mark.parametrize(
    ("asked", "settings", "coloured"),
    [
        ("auto", {}, True),
        ("auto", {"NO_COLOR": ""}, True),
        ("auto", {"NO_COLOR": "1"}, False),
        ("auto", {"TERM": "dumb"}, False),
        ("always", {"NO_COLOR": "1"}, True),
        ("never", {}, False),
    ],
)
def test_a_terminal_has_colours_unless_refused(
    monkeypatch: pytest.MonkeyPatch, asked: str, settings: dict[str, str], coloured: bool
) -> None:
    use_terminal(monkeypatch)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert Console(asked).coloured is coloured  # type: ignore[arg-type]


def test_a_file_or_a_pipe_has_no_colours_and_a_fixed_width(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_terminal(monkeypatch)
    to_file = Console(output=tmp_path / "report.txt")
    assert (to_file.coloured, to_file.width) == (False, PLAIN_WIDTH)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO()))
    assert (Console().coloured, Console().width) == (False, PLAIN_WIDTH)


def test_a_report_is_as_wide_as_the_terminal_but_never_too_wide_to_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_terminal(monkeypatch)
    assert Console().width == 120
    monkeypatch.setenv("COLUMNS", "400")
    assert Console().width == WIDEST


def test_a_terminal_gets_what_its_encoding_can_show(monkeypatch: pytest.MonkeyPatch) -> None:
    old = Terminal("ascii")
    monkeypatch.setattr(sys, "stdout", old)
    Console().show("a → b\n")
    assert old.seen.getvalue() == b"a ? b\n"


def test_a_pipe_gets_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    Console().show("a → b \ud800\n")
    assert raw.getvalue() == "a → b ?\n".encode()


def test_what_is_said_is_one_harmless_line(capsys: pytest.CaptureFixture[str]) -> None:
    Console().fail(MdtiError("No such\nthing \x1b[31m.", hint="Do that."))
    assert capsys.readouterr().err == "mdti: No such thing [U+001B][31m. Do that.\n"


def test_only_a_terminal_sees_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    use_terminal(monkeypatch)
    assert isinstance(Console().working("Reading", Counters), Progress)
    monkeypatch.setenv("TERM", "dumb")
    assert not isinstance(Console().working("Reading", Counters), Progress)


def test_a_file_is_replaced_through_its_link_as_a_whole_or_not_at_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("before")
    link.symlink_to(target)
    Console(output=link).show("after\n")
    assert link.is_symlink()
    assert target.read_bytes() == b"after\n"
    assert capsys.readouterr().err == f"Replaced {link}\n"

    def full(self: Path, other: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(MdtiError, match="could not be written: No space left on device"):
        Console(output=target).show("later\n")
    assert target.read_bytes() == b"after\n"
    assert {path.name for path in tmp_path.iterdir()} == {"target", "link"}


def test_a_device_is_written_to_and_not_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    Console(output=Path(os.devnull)).show("anything")
    assert not Path(os.devnull).is_file()


def test_a_file_that_cannot_be_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        Console(output=tmp_path)
    with pytest.raises(InputError, match="there is no folder"):
        Console(output=tmp_path / "absent" / "report.html")
