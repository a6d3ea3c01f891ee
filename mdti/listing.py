"""Intel profiles and the self-test as text for a terminal."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Final

from mdti.models import IntelProfile
from mdti.render.escape import one_line, profile_link, terminal
from mdti.render.wording import day
from mdti.status import Check, State

_BOLD: Final = "\x1b[1m"
_DIM: Final = "\x1b[2m"
_RESET: Final = "\x1b[0m"
_STATES: Final[dict[State, str]] = {
    "ok": "\x1b[32m",
    "warning": "\x1b[33m",
    "failed": "\x1b[1;31m",
}


def profiles_text(profiles: Sequence[IntelProfile], *, width: int, colour: bool) -> str:
    """Return one line for each profile: its title, its kind and its other names."""
    titles = [terminal(profile.title) for profile in profiles]
    column = max(map(len, titles), default=0)
    lines = []
    for title, profile in zip(titles, profiles, strict=True):
        aliases = f"also {terminal(', '.join(profile.aliases))}" if profile.aliases else ""
        rest = f"  {terminal(profile.kind):<5}  {aliases}"[: max(width - column, 20)]
        lines.append(_styled(title.ljust(column), _BOLD, colour) + rest.rstrip())
    count = f"{len(profiles):,} intel profile{'' if len(profiles) == 1 else 's'}"
    return "\n".join([*lines, "", _styled(count, _DIM, colour), ""])


def profile_text(profile: IntelProfile, *, width: int, colour: bool) -> str:
    """Return everything that is published about one actor or tool."""
    facts = {
        "kind": profile.kind,
        "also": ", ".join(profile.aliases),
        "origins": ", ".join(profile.origins),
        "targets": ", ".join(profile.targets),
        "active since": day(profile.first_active) if profile.first_active else "",
    }
    lines = [_styled(terminal(profile.title), _BOLD, colour)]
    for name, fact in facts.items():
        if fact:
            shown = f"{name:<14}{terminal(fact, limit=2_000)}"
            lines += _wrapped(shown, width, indent="  ", hang=" " * 16)
    link = profile_link(profile.id)
    lines += [f"  {link}"] if link else []
    for title, body in (
        ("Summary", profile.summary),
        ("Description", profile.description),
        ("Tradecraft", profile.tradecraft),
    ):
        if body:
            lines += ["", f"  {_styled(title, _BOLD, colour)}"]
            lines += _paragraphs(body, width)
    return "\n".join([*lines, ""])


def checks_text(checks: Iterable[Check], *, width: int, colour: bool) -> str:
    """Return what came of each check of the self-test, and what to do about it."""
    checks = tuple(checks)
    column = max(20, *(len(check.name) + 2 for check in checks))
    lines: list[str] = []
    said: dict[tuple[str, str], str] = {}
    hang = " " * (9 + column)
    for check in checks:
        first = said.setdefault((check.message, check.hint), check.name)
        repeated = first != check.name
        message = f"As `{first}`." if repeated else one_line(check.message)
        shown = _wrapped(message, width, indent=hang, hang=hang)
        state = _styled(f"{check.state:<9}", _STATES[check.state], colour)
        lines += [f"{state}{check.name:<{column}}{shown[0].strip()}", *shown[1:]]
        if check.hint and not repeated:
            lines += _wrapped(f"→ {one_line(check.hint)}", width, indent=hang, hang=f"{hang}  ")
    return "\n".join([*lines, ""])


def _paragraphs(body: str, width: int) -> list[str]:
    lines: list[str] = []
    for paragraph in filter(None, map(str.strip, body.splitlines())):
        lines += _wrapped(terminal(paragraph, limit=10_000), width, indent="  ", hang="  ")
    return lines


def _wrapped(text: str, width: int, *, indent: str, hang: str) -> list[str]:
    return textwrap.wrap(
        text,
        max(width, 40),
        initial_indent=indent,
        subsequent_indent=hang,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [indent]


def _styled(text: str, style: str, colour: bool) -> str:
    return f"{style}{text}{_RESET}" if colour else text
