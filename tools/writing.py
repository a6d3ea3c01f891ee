"""What every tool that makes files does at the end: write them, or say which are not as made."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path


def write_or_check(name: str, about: str | None, files: Callable[[], Mapping[Path, str]]) -> int:
    """Write the files that a tool makes, or with `--check` compare them; return the exit code.

    `name` is the tool's module, `about` its docstring.
    """
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    stale = 0
    for path, text in files().items():
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text("utf-8") != text:
            stale = 1
            sys.stderr.write(
                f"{path.parent.name}/{path.name} is not what python -m {name} makes of it\n"
            )
    return stale
