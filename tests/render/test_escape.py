"""Outside text can neither hide, link, nor become markup, wherever it is shown."""

import csv as csv_reader
import io
import re
from html import unescape
from html.parser import HTMLParser
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.ioc import HostParser
from mdti.models import Host
from mdti.render import escape
from tests.render.samples import HOSTILE, host

LABEL = st.from_regex(r"[a-z0-9_](?:[a-z0-9_-]{0,8}[a-z0-9_])?", fullmatch=True)
NAMES = st.builds(
    lambda labels, suffix: ".".join([*labels, suffix]),
    st.lists(LABEL, min_size=1, max_size=4),
    st.sampled_from(["com", "example", "xn--p1ai", "co.uk"]),
)
ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(
    lambda address: address.compressed
)
HOSTS = st.one_of(NAMES, ADDRESSES)
# Text around a host, as a rule or a title might have it: the host stays a token of its own.
AROUND = st.text(alphabet=" ,;()<>\"'|/=!?\n\t\u202e", max_size=6)
ANY = st.text(max_size=80) | st.sampled_from(HOSTILE)
FAST = settings(deadline=None, max_examples=150)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@FAST
@given(ANY)
def test_html_reads_back_as_the_plain_text_and_holds_no_markup(text: str) -> None:
    reader = _Reader()
    reader.feed(f"<p>{escape.html(text)}</p>")
    reader.close()
    assert reader.tags == ["p"]
    assert reader.text == escape.plain(text)
    assert not {'"', "'", "<", ">"} & set(escape.html(text))


@FAST
@given(AROUND, HOSTS, AROUND)
def test_no_host_in_a_text_stays_live(before: str, value: str, after: str) -> None:
    for shown in (
        escape.plain(f"{before}{value}{after}"),
        escape.html(f"{before}https://{value}/x{after}"),
        escape.markdown(f"{before}{value}{after}"),
        escape.mermaid(f"{before}{value}{after}"),
    ):
        assert not re.search(rf"(?<![\w.:-]){re.escape(value)}(?![\w-])", shown)


@FAST
@given(ANY)
def test_plain_text_is_one_visible_line_and_stays_when_read_again(text: str) -> None:
    shown = escape.plain(text, limit=5_000)
    assert "\n" not in shown
    assert escape.plain(shown, limit=20_000) == shown
    assert not re.search("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ud800]", shown)
    shown.encode("utf-8")


@FAST
@given(ANY, st.integers(min_value=2, max_value=50))
def test_a_cap_is_kept_and_a_cut_is_shown(text: str, limit: int) -> None:
    shown = escape.plain(text, limit=limit)
    assert len(shown) <= limit
    if len(escape.visible(text)) > limit:
        assert shown.endswith("…")


@FAST
@given(HOSTS)
def test_a_defanged_host_is_the_host_for_whoever_pastes_it_back(value: str) -> None:
    parsed = HostParser(examples=True).parse_or_none(value)
    if parsed is not None:
        assert HostParser(examples=True).parse(escape.defang_host(parsed)) == parsed
        assert escape.plain(escape.defang_host(parsed)) == escape.defang_host(parsed)


@FAST
@given(st.lists(ANY, min_size=1, max_size=4))
def test_csv_cells_read_back_and_none_begins_a_formula(texts: list[str]) -> None:
    out = io.StringIO(newline="")
    csv_reader.writer(out).writerow([escape.csv_cell(text) for text in texts])
    (row,) = csv_reader.reader(io.StringIO(out.getvalue(), newline=""))
    assert len(row) == len(texts)
    assert not [cell for cell in row if cell[:1] in tuple("=+-@\t\r\n")]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_a_formula_gets_an_apostrophe(text: str) -> None:
    assert escape.csv_cell(text) == f"'{text.strip()}"


@FAST
@given(ANY)
def test_markdown_has_no_live_special_character(text: str) -> None:
    shown = escape.markdown(text, limit=5_000)
    assert "<" not in shown
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]|!(){}$~]", shown.replace("\\\\", ""))
    assert not re.match(r"[-+=#:>]|\d+[.)]", shown)


@FAST
@given(ANY)
def test_a_mermaid_label_cannot_end_its_quotes(text: str) -> None:
    shown = escape.mermaid(text)
    assert not set('"<>&`{}\\') & set(shown)
    decoded = re.sub(r"#(\d+);", lambda found: chr(int(found[1])), shown)
    assert decoded == escape.plain(text, limit=60)


@FAST
@given(ANY)
def test_a_kql_literal_is_one_literal_of_printable_ascii(text: str) -> None:
    literal = escape.kql_string(text)
    assert literal.isascii()
    assert literal.isprintable()
    assert re.fullmatch(r'"(?:[^"\\]|\\["\\]|\\u[0-9a-f]{4})*"', literal)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see http://evil.example/a.exe", "see hxxp://evil[.]example/a[.]exe"),
        ("FTP://evil.example", "FTP[://]evil[.]example"),
        ("at 203.0.113.10:443", "at 203[.]0[.]113[.]10:443"),
        ("at 2001:db8::1f at 12:30:45", "at 2001[:]db8::1f at 12:30:45"),
        ("version 1.0, score 0.93", "version 1.0, score 0.93"),
        ("mail bad@evil.example.", "mail bad@evil[.]example."),
    ],
)
def test_urls_names_and_addresses_are_defanged_and_numbers_are_not(text: str, shown: str) -> None:
    assert escape.plain(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("abc\u202egnp.exe", "abc[U+202E]gnp[.]exe"),
        ("p\u0430ypal", "p[U+0430]ypal"),
        ("b\u00fccher.example", "b[U+00FC]cher[.]example"),
        ("\uff45vil", "[U+FF45]vil"),
        ("Атака на банк", "Атака на банк"),
        ("Müller und Söhne", "Müller und Söhne"),
        ("a\nb\t c\u00a0d", "a b c d"),
        ("\x1b[31mred", "[U+001B][31mred"),
    ],
)
def test_what_hides_or_imitates_is_shown_and_honest_words_stay(text: str, shown: str) -> None:
    assert escape.plain(text) == shown


@pytest.mark.parametrize(
    ("url", "live"),
    [
        (
            "https://ti.defender.microsoft.com/article/0a1b2c3d",
            "https://security.microsoft.com/intel-explorer/articles/0a1b2c3d",
        ),
        (
            "https://ti.defender.microsoft.com/articles/0a1b2c3d/description?x=1",
            "https://security.microsoft.com/intel-explorer/articles/0a1b2c3d",
        ),
        (
            "https://ti.defender.microsoft.com/profiles/7c9e",
            "https://security.microsoft.com/intel-profiles/7c9e",
        ),
        (
            "https://learn.microsoft.com/defender/x.y?tid=1#top",
            "https://learn.microsoft.com/defender/x.y",
        ),
        ("https://ti.defender.microsoft.com/search?query=203.0.113.10", None),
        ("http://security.microsoft.com/intel-profiles/7c9e", None),
        ("https://security.microsoft.com@evil.example/", None),
        ("https://security.microsoft.com.evil.example/", None),
        ("https://security.microsoft.com:8443/", None),
        ("https://security.microsoft.com/a/../b", None),
        ("https://security.microsoft.com/\u202e", None),
        ('https://security.microsoft.com/"onclick="', None),
        ("https://[::1", None),
        ("javascript:alert(1)", None),
        ("https://security.microsoft.com/" + "a" * 600, None),
        (None, None),
    ],
)
def test_only_known_microsoft_pages_are_live(url: str | None, live: str | None) -> None:
    assert escape.link(url) == live
    if live is None:
        assert "<a " not in escape.html_link(url, "label")
        assert "](" not in escape.markdown_link(url, "label")
    else:
        assert f'href="{live}"' in escape.html_link(url, "label")
        assert escape.markdown_link(url, "label") == f"[label](<{live}>)"


def test_a_profile_id_that_is_no_id_gets_no_link() -> None:
    assert escape.profile_link("../../evil") is None
    assert escape.profile_link(None) is None


def test_hosts_are_code_in_markdown() -> None:
    assert escape.markdown_host(host("evil.example")) == "`evil[.]example`"
    assert escape.markdown_host(Host("ipv6", "2001:db8::1")) == "`2001[:]db8::1`"


def test_a_query_keeps_its_lines_and_its_hosts() -> None:
    kql = 'T\n| where Name == "a.example"'
    assert unescape(escape.html_text(kql)) == kql


@pytest.mark.parametrize("unit", ["x", "a.", "a:", "::", "http", "://", "1.", "-", "\u0430a", "["])
def test_long_hostile_text_costs_linear_time(unit: str) -> None:
    started = perf_counter()
    escape.defang(unit * 100_000)
    escape.html(unit * 100_000)
    assert perf_counter() - started < 5
