"""All escaping: the one place where outside text becomes part of something people read.

Host names, rule texts, article titles and profiles are written by strangers, some of them by the
attacker. `plain` makes such text one visible, defanged, bounded line; every other function here
starts from it and adds what one output needs. Nobody else may quote, escape or link.
"""

import re
import unicodedata
from html import escape as _escape_html
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from mdti.models import Host

MAX_TEXT: Final = 300
"""Characters of one outside text before it is cut; no rule name or article title is longer."""

_ELLIPSIS = "…"
_SPACES = re.compile(r"\s+")
_INVISIBLE = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and symbols without any ink
_LOOKALIKE_DOTS = frozenset("\u2024\u3002\uff0e\uff61")
_LOOKALIKE_SCRIPTS = ("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC")
# Each pattern starts at a word's start or has a bounded repeat, so hostile text costs linear time.
_DOTTED = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+")
_COLONS = re.compile(
    r"(?<![\w.:])(?<!\[:\])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,8}(?:\.\d{1,3}){0,3}"
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+-]{0,15})://")
_HOST_LIKE = re.compile(r"\w[.]\w")
_MARKDOWN_SPECIAL = re.compile(r"([\\`*_{}\[\]()!|~$])")
_MARKDOWN_LINE_START = re.compile(r"^(\d{1,9})([.)])|^([-+=#:])")
_MERMAID_SAFE = re.compile(r"[^A-Za-z0-9 ,.:/_\-\[\]()%→…]")
_FORMULA = frozenset("=+-@\t\r\n")

# Hosts whose links may be live. A short-link service is not among them: its targets are unknown.
_LINK_HOSTS = frozenset(
    {
        "security.microsoft.com",
        "security.microsoft.us",
        "learn.microsoft.com",
        "www.microsoft.com",
        "techcommunity.microsoft.com",
        "msrc.microsoft.com",
    }
)
_LINK_PATH = re.compile(r"(?:/(?:[A-Za-z0-9_~-]|%[0-9A-Fa-f]{2}|\.(?!\.))+)*/?")
_RETIRED_HOST = "ti.defender.microsoft.com"
_RETIRED_PATH = re.compile(r"/(articles?|profiles?|intel-profiles)/([A-Za-z0-9-]{1,128})(?:/.*)?")
_PORTAL = "https://security.microsoft.com"
_PROFILE_ID = re.compile(r"[A-Za-z0-9-]{1,128}")


def visible(text: str) -> str:
    """Return `text` as one line in which nothing hides.

    White space becomes single spaces. Control, format (bidi, zero-width) and invisible characters,
    lone surrogates and private-use characters become `[U+202E]`; so do letters that imitate ASCII:
    full-width and mathematical ones, and Cyrillic, Greek, Armenian, Cherokee or Coptic letters in a
    word that also has ASCII letters, or any non-ASCII letter in a word that looks like a host.
    """
    if text.isascii() and text.isprintable():
        return _SPACES.sub(" ", text).strip()
    line = _SPACES.sub(" ", _visible_characters(text)).strip()
    return line if line.isascii() else " ".join(map(_shown_word, line.split(" ")))


def shorten(text: str, limit: int = MAX_TEXT) -> str:
    """Return `text` with at most `limit` characters; a cut one ends in an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + _ELLIPSIS


def one_line(text: str, *, limit: int = MAX_TEXT) -> str:
    """Return outside text as one visible line for a log or an error message, not defanged."""
    return shorten(visible(text), limit)


def defang_host(host: Host) -> str:
    """Return a host so that nothing makes it a link: `evil[.]example`, `2001[:]db8::1`."""
    if host.kind == "ipv6":
        return host.value.replace(":", "[:]", 1)
    return host.value.replace(".", "[.]")


def defang(text: str) -> str:
    """Return `text` with every URL scheme, host name and address in it defanged.

    Version numbers and decimals stay. Text that is defanged already stays as it is.
    """
    text = _SCHEME.sub(_defanged_scheme, text)
    text = _COLONS.sub(_defanged_colons, text)
    return _DOTTED.sub(_defanged_dots, text)


def plain(text: str, *, limit: int = MAX_TEXT) -> str:
    """Return outside text as people may read it: one line, visible, defanged, bounded."""
    return shorten(defang(shorten(visible(text), limit)), limit)


def html(text: str, *, limit: int = MAX_TEXT) -> str:
    """Return outside text for HTML content or a quoted attribute."""
    return _escape_html(plain(text, limit=limit), quote=True)


def html_text(text: str) -> str:
    """Return several lines of our own making for HTML, lines kept and nothing defanged.

    For hunting queries, which must stay as they run: their values are validated hosts.
    """
    return _escape_html("\n".join(map(_visible_characters, text.splitlines())), quote=True)


def markdown(text: str, *, limit: int = MAX_TEXT) -> str:
    """Return outside text for Markdown, also at the start of a line and in a table cell.

    `<`, `>` and `&` become entities, because not every renderer honours a backslash before them.
    """
    escaped = _escape_html(plain(text, limit=limit), quote=False)
    escaped = _MARKDOWN_SPECIAL.sub(r"\\\1", escaped)
    return _MARKDOWN_LINE_START.sub(_escaped_line_start, escaped)


def markdown_host(host: Host) -> str:
    """Return a host as a Markdown code span."""
    return f"`{defang_host(host)}`"


def csv_cell(text: str) -> str:
    """Return text for a CSV cell that no spreadsheet takes for a formula.

    A leading `=`, `+`, `-`, `@`, tab, CR or LF gets an apostrophe before it (OWASP, CSV injection).
    Hosts stay as they are: the table is for machines. Quoting is the CSV writer's work.
    """
    cell = one_line(text, limit=2_000)
    return f"'{cell}" if text[:1] in _FORMULA or cell[:1] in _FORMULA else cell


def mermaid(text: str, *, limit: int = 60) -> str:
    """Return outside text for a quoted Mermaid label, its special characters as `#code;`."""
    return _MERMAID_SAFE.sub(lambda found: f"#{ord(found[0])};", plain(text, limit=limit))


def terminal(text: str, *, limit: int = MAX_TEXT) -> str:
    """Return outside text for a terminal: no escape sequence survives."""
    return plain(text, limit=limit)


def kql_string(text: str) -> str:
    """Return a KQL string literal, quoted; everything but printable ASCII as `\\uXXXX`.

    Characters beyond the Basic Multilingual Plane become two UTF-16 escapes.
    """
    escaped = "".join(_kql_character(character) for character in text)
    return f'"{escaped}"'


def link(url: str | None) -> str | None:
    """Return the live link for `url`, or None when it may only be shown as text.

    Live are https links to a few Microsoft hosts, without user, port, query and fragment: they
    need none of these, which can carry redirects and tenant ids. Links to
    `ti.defender.microsoft.com`, retired on 2024-06-30, are rewritten to the Defender portal:
    `/article/<id>` to `/intel-explorer/articles/<id>` and `/profiles/<id>` to
    `/intel-profiles/<id>`. Microsoft's own reports print both portal forms (eight-digit article
    ids, 64-digit profile ids); that an old id still opens there is likely and was not tried.
    """
    if not url or len(url) > 500 or not url.isascii() or not url.isprintable():
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme != "https" or port is not None or "@" in parts.netloc:
        return None
    if parts.hostname == _RETIRED_HOST:
        return _portal_link(parts.path)
    if parts.hostname not in _LINK_HOSTS or not _LINK_PATH.fullmatch(parts.path):
        return None
    return f"https://{parts.hostname}{parts.path}"


def profile_link(profile_id: str | None) -> str | None:
    """Return the Defender portal's page of an intel profile, or None without a usable id."""
    if profile_id is None or not _PROFILE_ID.fullmatch(profile_id):
        return None
    return f"{_PORTAL}/intel-profiles/{profile_id}"


def html_link(url: str | None, label: str) -> str:
    """Return `label` as an HTML link where `url` may be live, else label and defanged URL."""
    target = link(url)
    if target is not None:
        return f'<a href="{_escape_html(target)}" rel="noopener noreferrer">{html(label)}</a>'
    return f"{html(label)} ({html(url)})" if url else html(label)


def markdown_link(url: str | None, label: str) -> str:
    """Return `label` as a Markdown link where `url` may be live, else label and defanged URL."""
    target = link(url)
    if target is not None:
        return f"[{markdown(label)}](<{target}>)"
    return f"{markdown(label)} ({markdown(url)})" if url else markdown(label)


def _visible_characters(text: str) -> str:
    return "".join(map(_shown_character, text))


def _shown_character(character: str) -> str:
    if character.isspace() and character not in "\x1c\x1d\x1e\x1f\x85\u2028\u2029":
        return " "
    code = ord(character)
    hidden = (
        unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
        or character in _INVISIBLE
        or character in _LOOKALIKE_DOTS
        or 0xFE00 <= code <= 0xFE0F  # variation selectors carry hidden text
        or 0xE0100 <= code <= 0xE01EF
        or 0xFF01 <= code <= 0xFF5E  # full-width ASCII
        or 0x1D400 <= code <= 0x1D7FF  # mathematical alphanumerics
    )
    return _marker(character) if hidden else character


def _shown_word(word: str) -> str:
    if word.isascii():
        return word
    if _HOST_LIKE.search(word):
        return "".join(c if c.isascii() or not c.isalpha() else _marker(c) for c in word)
    if not any(c.isascii() and c.isalpha() for c in word):
        return word
    return "".join(_marker(c) if _imitates(c) else c for c in word)


def _imitates(character: str) -> bool:
    return not character.isascii() and unicodedata.name(character, "").startswith(
        _LOOKALIKE_SCRIPTS
    )


def _marker(character: str) -> str:
    return f"[U+{ord(character):04X}]"


def _defanged_scheme(found: re.Match[str]) -> str:
    scheme = found[1].lower()
    if scheme in {"http", "https"}:
        return f"hxxp{scheme[4:]}://"
    return found[0] if scheme in {"hxxp", "hxxps"} else f"{found[1]}[://]"


def _defanged_colons(found: re.Match[str]) -> str:
    try:
        ip_address(found[0])
    except ValueError:
        return found[0]
    return found[0].replace(":", "[:]", 1)


def _defanged_dots(found: re.Match[str]) -> str:
    labels = found[0].split(".")
    numbers = sum(label.isdigit() for label in labels)
    if numbers == len(labels) and numbers != 4:
        return found[0]
    if numbers < len(labels) and (len(labels[-1]) < 2 or labels[-1].isdigit()):
        return found[0]
    return "[.]".join(labels)


def _escaped_line_start(found: re.Match[str]) -> str:
    return f"{found[1]}\\{found[2]}" if found[1] else f"\\{found[3]}"


def _kql_character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if " " <= character <= "~":
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    pairs = zip(units[::2], units[1::2], strict=True)
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in pairs)


def _portal_link(path: str) -> str | None:
    found = _RETIRED_PATH.fullmatch(path)
    if found is None:
        return None
    room = "intel-explorer/articles" if found[1].startswith("article") else "intel-profiles"
    return f"{_PORTAL}/{room}/{found[2]}"
