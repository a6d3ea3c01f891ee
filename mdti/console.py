"""What a command says and where: results to standard output or a file, the rest to stderr."""

import os
import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

from mdti.errors import InputError, MdtiError
from mdti.net.meter import Counters
from mdti.progress import Progress

Colour = Literal["auto", "always", "never"]

PLAIN_WIDTH = 100
"""Width of a report in characters where no terminal says otherwise."""

WIDEST = 160
"""Longer lines are hard to read, however wide the terminal is."""


@dataclass(frozen=True, slots=True)
class Console:
    """Standard output and error of one command; a result goes to the file `output` if there is one.

    Raises `InputError` for an `output` that cannot be written, before any work is done.
    """

    colour: Colour = "auto"
    output: Path | None = None

    def __post_init__(self) -> None:
        if self.output is None:
            return
        if self.output.is_dir():
            raise InputError(f"--output: {self.output} is a folder.")
        if not self.output.parent.is_dir():
            raise InputError(f"--output: there is no folder {self.output.parent}.")

    @property
    def coloured(self) -> bool:
        """Whether a text has colours: as asked, else on a terminal without `NO_COLOR`."""
        if self.colour != "auto":
            return self.colour == "always"
        refused = os.environ.get("NO_COLOR")  # https://no-color.org
        return not refused and self.output is None and _draws(sys.stdout)

    @property
    def width(self) -> int:
        """Columns of a text."""
        if self.output is not None or not sys.stdout.isatty():
            return PLAIN_WIDTH
        return min(shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns, WIDEST)

    def show(self, result: str) -> None:
        """Give out a result; a reader that has gone away is not an error."""
        if self.output is not None:
            self.note(self.save(result, self.output))
            return
        try:
            _write(sys.stdout, result)
        except OSError as error:
            # What the buffer still holds would fail again when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if not isinstance(error, BrokenPipeError):
                raise _not_written("The result", error) from error

    def save(self, result: str, path: Path) -> str:
        """Write a file as a whole or not at all; return what was done, for people."""
        replaced = path.exists()
        try:
            _replace(path, result)
        except OSError as error:
            raise _not_written(str(path), error) from error
        return f"{'Replaced' if replaced else 'Wrote'} {path}"

    def note(self, text: str) -> None:
        """Say something that is not part of the result, as one harmless line."""
        from mdti.render.escape import one_line

        _write(sys.stderr, one_line(text, limit=1_000) + "\n")

    def fail(self, error: MdtiError) -> None:
        """Say in one line what went wrong and what to do."""
        self.note(f"mdti: {error.message} {error.hint or ''}")

    def working(
        self, label: str, counters: Callable[[], Counters]
    ) -> AbstractContextManager[object]:
        """Show how far the work is, on a terminal only."""
        if not _draws(sys.stderr):
            return nullcontext()
        width = shutil.get_terminal_size((80, 24)).columns
        return Progress(sys.stderr, label, counters, width=width)


def _draws(stream: TextIO) -> bool:
    """Return whether the stream is a terminal that understands escape sequences."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _write(stream: TextIO, text: str) -> None:
    """Write what the terminal can show, or UTF-8 where nobody looks."""
    encoding = stream.encoding if stream.isatty() else "utf-8"
    stream.flush()
    stream.buffer.write(text.encode(encoding, "replace"))
    stream.flush()


def _not_written(what: str, error: OSError) -> MdtiError:
    return MdtiError(f"{what} could not be written: {error.strerror or type(error).__name__}.")


def _replace(path: Path, text: str) -> None:
    target = path.resolve()
    if target.exists() and not target.is_file():  # a device or a named pipe
        target.write_text(text, encoding="utf-8", newline="\n")
        return
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
