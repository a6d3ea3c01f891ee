"""Reads single fields of records that other people wrote: right, or as if they were not there."""

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, get_args

from mdti.feeds.indicator import Tlp

MAX_TEXT = 1_000
"""Longest title, description or word that is kept, in characters."""
MAX_WORDS = 50
"""Most tags or threat types of one indicator that are kept."""

_TLP_WORDS: Mapping[str, Tlp] = {word: word for word in get_args(Tlp)} | {"white": "clear"}
# The markings that STIX 2.1 fixes (section 7.2.1.4).
_TLP_MARKINGS: Mapping[str, Tlp] = {
    "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9": "clear",
    "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": "green",
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82": "amber",
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed": "red",
}


def text_of(value: object, *, limit: int = MAX_TEXT) -> str:
    """Return text in one line without control characters, cut to `limit`; "" for anything else."""
    if not isinstance(value, str):
        return ""
    shown = "".join(one if one.isprintable() else " " for one in value[: 4 * limit])
    return " ".join(shown.split())[:limit]


def words_of(value: object) -> tuple[str, ...]:
    """Return the texts of a list, each once and at most 50; () for anything else."""
    if not isinstance(value, list):
        return ()
    words = dict.fromkeys(text_of(item, limit=100) for item in value[: 4 * MAX_WORDS])
    return tuple(word for word in words if word)[:MAX_WORDS]


def percent_of(value: object) -> int | None:
    """Return a number from 0 to 100, rounded and kept inside; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return round(min(max(value, 0), 100))


def stamp(moment: datetime) -> str:
    """Return a time as text that sorts like the time: UTC, microseconds, `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNDATED = stamp(EPOCH)
"""The version of an object whose source does not say when it changed: older than any other."""


def tlp_of(*values: object) -> Tlp | None:
    """Return the strictest TLP among words such as `TLP:AMBER` and marking ids; None without."""
    found: set[Tlp] = set()
    for value in values:
        if not isinstance(value, str):
            continue
        word = _TLP_WORDS.get(value.strip().lower().removeprefix("tlp:"))
        marking = _TLP_MARKINGS.get(value)
        found |= {one for one in (word, marking) if one is not None}
    order: tuple[Tlp, ...] = get_args(Tlp)
    return max(found, key=order.index, default=None)


def object_of(value: object) -> Mapping[str, Any]:
    """Return a JSON object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def list_of(value: object) -> list[Any]:
    """Return a JSON list; an empty one for anything else."""
    return value if isinstance(value, list) else []


def name_of_nameless(item: object) -> str:
    """Return an id for a record that has none, the same for the same record."""
    text = json.dumps(item, sort_keys=True, default=str)
    return f"nameless--{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
