"""What a setting is, and the forms its value may have.

A form turns text into a value and raises `ValueError` for anything else; `Setting.form` says in
words what it takes.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Generic, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

_NO_ROOT = re.compile(r"[\s?#@\\]")  # a query, a fragment, a user, or two readings of one URL


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """One setting; `form` completes the sentence "NAME must be ..."."""

    name: str
    default: str
    form: str
    about: str
    parse: Callable[[str], T]


def text(value: str) -> str:
    """Return the text without white space around it."""
    return value.strip()


def words(value: str) -> tuple[str, ...]:
    """Return the parts of a list separated by commas."""
    return tuple(word.strip() for word in value.split(",") if word.strip())


def guids(value: str) -> tuple[str, ...]:
    """Return the GUIDs of a list, lower-case."""
    ids = tuple(word.lower() for word in re.split(r"[\s,;]+", value) if word)
    if not all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", guid) for guid in ids):
        raise ValueError(value)
    return ids


def flag(value: str) -> bool:
    """Return a yes or a no."""
    try:
        return {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}[
            value.strip().lower()
        ]
    except KeyError:
        raise ValueError(value) from None


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return the form of a whole number from `low` to `high`."""

    def parse(value: str) -> int:
        number = int(value)
        if not low <= number <= high:
            raise ValueError(value)
        return number

    return parse


def choice(*choices: str) -> Callable[[str], str]:
    """Return the form of one of `choices`, whatever its case."""

    def parse(value: str) -> str:
        by_name = {choice.lower(): choice for choice in choices}
        try:
            return by_name[value.strip().lower()]
        except KeyError:
            raise ValueError(value) from None

    return parse


def endpoint(value: str) -> str:
    """Return a root URL without a slash at its end; plain HTTP is for loopback only."""
    url = value.strip().rstrip("/")
    parts = urlsplit(url)
    if not parts.hostname or parts.port == 0 or _NO_ROOT.search(url):
        raise ValueError(value)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(url)):
        raise ValueError(value)
    return url


def is_loopback(url: str) -> bool:
    """Return whether the URL's host is this machine."""
    return is_loopback_host(urlsplit(url).hostname or "")


def is_loopback_host(host: str) -> bool:
    """Return whether a host, without port or brackets, is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def number(name: str, default: int, low: int, high: int, about: str) -> Setting[int]:
    """Return a setting that is a whole number from `low` to `high`."""
    return Setting(
        name, str(default), f"a whole number from {low:,} to {high:,}", about, whole(low, high)
    )
