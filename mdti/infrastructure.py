"""What a host is by public knowledge: CDN, cloud, bulk hosting, parking, sinkhole, dynamic DNS.

Membership comes from a dated snapshot of public lists that ships with the package (made by
`python -m tools.compile_lists`, which holds the sources), registrable domains from the public
suffix list. Nothing is asked over the network, and both are read when first needed. Without its
snapshot every method fails: a missing list must not read as "no CDN".
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from mdti.allowlist import Allowlist, suffixes_of
from mdti.errors import SettingError
from mdti.models import Host, Role

T = TypeVar("T")

SNAPSHOT = Path(__file__).parent / "data" / "lists.txt"
PUBLIC_SUFFIX_LIST = "public suffix list"

_AddressKind = Literal["ipv4", "ipv6"]


@dataclass(frozen=True, slots=True)
class Standing:
    """The role that public knowledge gives a host, and the provider or the list that says so."""

    role: Role
    provider: str


@dataclass(frozen=True, slots=True)
class Ranges:
    """Address ranges of one family, sorted and without overlap, as three parallel columns."""

    firsts: Sequence[int]
    lasts: Sequence[int]
    standings: Sequence[Standing]

    @classmethod
    def of(cls, ranges: Iterable[tuple[int, int, Standing]]) -> "Ranges":
        """Return the ranges, given as first and last address, in order."""
        ordered = sorted(ranges, key=lambda one: one[0])
        return cls(
            [first for first, _, _ in ordered],
            [last for _, last, _ in ordered],
            [standing for _, _, standing in ordered],
        )

    def find(self, address: int) -> Standing | None:
        """Return the standing of the range that holds `address`, by bisection."""
        index = bisect_right(self.firsts, address) - 1
        if index >= 0 and address <= self.lasts[index]:
            return self.standings[index]
        return None


@dataclass(frozen=True, slots=True)
class Lists:
    """The snapshot, in memory.

    `names` hold for themselves and for every name below; `dynamic_dns` are suffixes under which
    strangers register names. `source` says which package and version the lists were taken from.
    """

    snapshot: date
    source: str
    ranges: Mapping[str, Ranges]
    names: Mapping[str, Standing]
    dynamic_dns: Mapping[str, Standing]


class Infrastructure:
    """Answers what a host is and which registrable domain a name belongs to.

    `allowlist` goes before every list. `path` is the snapshot; instances share what was read.
    """

    def __init__(self, *, allowlist: Allowlist | None = None, path: Path = SNAPSHOT) -> None:
        self._allowlist = allowlist or Allowlist()
        self._path = path

    @cached_property
    def _lists(self) -> Lists:
        return read_lists(self._path)

    @property
    def snapshot(self) -> date:
        """The newest date that any of the lists carries; the lists themselves are not read."""
        return read_date(self._path)

    @property
    def source(self) -> str:
        """The package and version that the lists were taken from, and their licence."""
        return self._lists.source

    def standing(self, host: Host) -> Standing | None:
        """Return what is publicly known of `host`, or None when it is on no list.

        An address on several lists counts as sinkhole, parking, CDN, hosting, cloud, in this order.
        A name under a listed one counts as the longest that is listed. The name of a dynamic-DNS
        provider, or of any public suffix, is `dynamicDns`; a customer's name below it is not.
        """
        entry = self._allowlist.entry(host)
        if entry is not None:
            return Standing("allowlisted", entry)
        lists = self._lists
        if host.kind != "name":
            return lists.ranges[host.kind].find(_number(host.kind, host.value))
        for suffix in suffixes_of(host.value):
            if suffix in lists.names:
                return lists.names[suffix]
        if host.value in lists.dynamic_dns:
            return lists.dynamic_dns[host.value]
        if _public_suffix(host.value) == host.value:
            return Standing("dynamicDns", PUBLIC_SUFFIX_LIST)
        return None

    def registrable(self, name: str) -> str:
        """Return the registrable domain of `name`: its public suffix and one label more.

        Private suffixes count (`a.github.io` and `b.github.io` are two domains), so do dynamic-DNS
        providers. Under an unknown top level, such as `.example`, the last label is the suffix. A
        name that is itself a suffix is returned as it is.
        """
        suffix = self._suffix(name)
        if suffix == name:
            return name
        label = name[: -len(suffix) - 1].rpartition(".")[2]
        return f"{label}.{suffix}"

    def _suffix(self, name: str) -> str:
        public = _public_suffix(name)
        dynamic_dns = self._lists.dynamic_dns
        longer = (suffix for suffix in suffixes_of(name) if len(suffix) > len(public))
        return next((suffix for suffix in longer if suffix in dynamic_dns), public)


@lru_cache(maxsize=4)
def read_lists(path: Path) -> Lists:
    """Return the snapshot at `path`, read once per process.

    Raises `SettingError` when it is missing or not what the compiler writes.
    """
    return _read(path, parse_lists)


@lru_cache(maxsize=4)
def read_date(path: Path) -> date:
    """Return the date of the snapshot at `path`; raises like `read_lists`.

    A stored look-up is found by it, in less time than the lists take to read.
    """
    return _read(path, lambda text: _date(_comments(text)))


def _read(path: Path, parse: Callable[[str], T]) -> T:
    hint = "Deploy the package with its data, or run: python -m tools.compile_lists"
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"The snapshot of infrastructure lists ({path.name}) is missing."
        raise SettingError(message, hint=hint) from error
    except ValueError as error:
        message = f"The snapshot of infrastructure lists ({path.name}) is damaged."
        raise SettingError(message, hint=hint) from error


def parse_lists(text: str) -> Lists:
    """Return the lists that `text` holds.

    First come comments, `# snapshot: <date>` and `# source: <text>` among them. Then follow
    sections, `[<role> networks|names] <provider> (<list> <version>)` and one network or name a
    line. Raises `ValueError` for anything else.
    """
    _, *sections = text.split("\n[")
    ranges: dict[_AddressKind, list[tuple[int, int, Standing]]] = {"ipv4": [], "ipv6": []}
    names: dict[str, Standing] = {}
    dynamic_dns: dict[str, Standing] = {}
    for section in sections:
        title, *entries = section.splitlines()
        standing, is_names = _section(title)
        if is_names and standing.role == "dynamicDns":
            dynamic_dns = dict.fromkeys(entries, standing) | dynamic_dns
        elif is_names:
            names = dict.fromkeys(entries, standing) | names
        else:
            for network in entries:
                kind, first, last = _range(network)
                ranges[kind].append((first, last, standing))
    if not (names and dynamic_dns and all(ranges.values())):
        raise ValueError("a part is missing")
    comments = _comments(text)
    return Lists(
        _date(comments),
        comments.get("source", ""),
        {kind: Ranges.of(found) for kind, found in ranges.items()},
        names,
        dynamic_dns,
    )


def _comments(text: str) -> dict[str, str]:
    head = text.partition("\n[")[0]
    return dict(line.lstrip("# ").partition(": ")[::2] for line in head.splitlines())


def _date(comments: Mapping[str, str]) -> date:
    return date.fromisoformat(comments.get("snapshot", ""))


def _section(title: str) -> tuple[Standing, bool]:
    bracketed, _, source = title.partition("] ")
    role, _, content = bracketed.partition(" ")
    if role not in get_args(Role) or content not in ("networks", "names"):
        raise ValueError("an unknown section")
    provider = source.rpartition(" (")[0]
    return Standing(role, provider), content == "names"  # type: ignore[arg-type]


def _range(network: str) -> tuple[_AddressKind, int, int]:
    base, _, bits = network.partition("/")
    kind: _AddressKind = "ipv6" if ":" in base else "ipv4"
    first = _number(kind, base)
    width = (32 if kind == "ipv4" else 128) - int(bits)
    return kind, first, first + (1 << width) - 1


def _number(kind: _AddressKind, value: str) -> int:
    if kind == "ipv6":
        return int(IPv6Address(value))
    a, b, c, d = map(int, value.split("."))  # canonical already; IPv4Address takes 3 x as long
    return a << 24 | b << 16 | c << 8 | d


@lru_cache(maxsize=1)
def _public_suffixes() -> Any:
    from publicsuffixlist import PublicSuffixList  # 70 ms, and not every process needs it

    return PublicSuffixList()


def _public_suffix(name: str) -> str:
    return str(_public_suffixes().publicsuffix(name))
