"""Asks Microsoft's own parser whether queries are right for tables with these columns.

It is pinned in `package.json` beside this file and installed by `npm ci`.
"""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent
_SECONDS = 60.0


def missing() -> str | None:
    """Say why the parser cannot be used on this machine, or return None."""
    if shutil.which("node") is None:
        return "Microsoft's Kusto parser needs Node.js, which is not installed"
    if not (_FOLDER / "node_modules").exists():
        return "the Kusto parser is not installed: run `npm ci --prefix tests/kusto`"
    return None


@dataclass(frozen=True, slots=True)
class Reading:
    """What the parser makes of a query: nothing to complain of, if syntax and names are right."""

    complaints: tuple[str, ...]
    columns: tuple[str, ...]


def read(tables: Mapping[str, str], queries: Sequence[str]) -> list[Reading]:
    """Return the parser's reading of each query.

    `tables` maps names to columns, such as `TimeGenerated: datetime, Id: string`.
    """
    done = subprocess.run(
        ["node", str(_FOLDER / "check.js")],
        input=json.dumps({"tables": tables, "queries": list(queries)}),
        capture_output=True,
        check=True,
        text=True,
        timeout=_SECONDS,
    )
    return [
        Reading(tuple(one["complaints"]), tuple(one["columns"])) for one in json.loads(done.stdout)
    ]
