"""Reads a template; what is wrong in one is a `BadTemplate`."""

import json
from pathlib import Path
from typing import Any


class BadTemplate(Exception):
    """A template holds what Azure would refuse, or what is not known here."""


def load(path: Path) -> dict[str, Any]:
    """Read a template; JSON without duplicate keys."""
    template: dict[str, Any] = json.loads(path.read_text("utf-8"), object_pairs_hook=_unique)
    return template


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise BadTemplate(f"a key occurs twice: {sorted(keys)}")
    return dict(pairs)
