"""Findings as text, documents and pictures; pure, and the only room that escapes.

`render` is the door for whole answers. The incident's comment, hunting queries and JSON documents
have doors of their own: `comment`, `kql` and `document`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from mdti.errors import InputError
from mdti.incident_models import Brief
from mdti.models import Lookup
from mdti.render.csv import lookups_csv
from mdti.render.document import brief_document, dump, lookup_document
from mdti.render.html import report_html
from mdti.render.markdown import lookups_markdown
from mdti.render.mermaid import lookups_mermaid
from mdti.render.stix import lookups_stix
from mdti.render.text import lookups_text

CONTENT_TYPES: Final = {
    "text": "text/plain; charset=utf-8",
    "json": "application/json",
    "markdown": "text/markdown; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "stix": "application/stix+json;version=2.1",
    "mermaid": "text/vnd.mermaid; charset=utf-8",
}
FORMATS: Final = tuple(CONTENT_TYPES)

__all__ = ["CONTENT_TYPES", "FORMATS", "render"]


def render(
    name: str,
    lookups: Sequence[Lookup],
    *,
    now: datetime,
    brief: Brief | None = None,
    width: int = 100,
    colour: bool = False,
) -> str:
    """Return look-ups, or a brief with its look-ups, in the format `name`, one of `FORMATS`.

    One look-up is a Lookup in JSON, several are `{"lookups": [...]}`, a brief is a Brief. CSV,
    STIX and Mermaid show look-ups only. `width` and `colour` are for text. Raises `InputError`
    for an unknown format.
    """
    if name == "text":
        return lookups_text(lookups, brief=brief, width=width, colour=colour)
    if name == "markdown":
        return lookups_markdown(lookups, brief=brief)
    if name == "html":
        return report_html(lookups, now=now, brief=brief)
    if name == "csv":
        return lookups_csv(lookups)
    if name == "mermaid":
        return lookups_mermaid(lookups)
    if name == "stix":
        return dump(lookups_stix(lookups, now=now), pretty=True).decode() + "\n"
    if name == "json":
        return _json(lookups, brief)
    raise InputError(f"The format is one of {', '.join(FORMATS)}.")


def _json(lookups: Sequence[Lookup], brief: Brief | None) -> str:
    if brief:
        document = brief_document(brief)
    elif len(lookups) == 1:
        document = lookup_document(lookups[0])
    else:
        document = {"lookups": [lookup_document(lookup) for lookup in lookups]}
    return dump(document, pretty=True).decode() + "\n"
