"""Compile public lists of shared infrastructure into the one small file the product ships.

    python -m tools.compile_lists            write mdti/data/lists.txt
    python -m tools.compile_lists --check    exit 1 when that file is not what would be written

Source: the MISP warning lists (CC0 1.0) as the PyPI package `pymispwarninglists` carries them.
The package has 65 MB of lists, so it is needed here and never at run time.

The file is committed, although it can be made again. An app that is deployed from a clone or with
a remote build has no compile step, and an app without its lists would follow every CDN; so the
lists travel with the code. As sorted text, a newer snapshot is a diff that can be read.
"""

import argparse
import importlib.metadata
import json
import re
import sys
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_network,
    summarize_address_range,
)
from pathlib import Path
from typing import Any, Literal

PACKAGE = "pymispwarninglists"
TARGET = Path(__file__).parent.parent / "mdti" / "data" / "lists.txt"

ListedRole = Literal["sinkhole", "parking", "cdn", "hosting", "cloud", "dynamicDns"]
Network = IPv4Network | IPv6Network
Range = tuple[int, int]
"""First and last address, both included."""

_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})+")


@dataclass(frozen=True, slots=True)
class Source:
    """One list of the package, and what being on it means."""

    folder: str
    role: ListedRole
    provider: str
    dotted_only: bool = False
    """Use only names written with a leading dot: in a mixed list, those under which anybody may
    have a name of his own (`.wordpress.com`), as opposed to services (`pastebin.com`)."""


SOURCES = (
    Source("sinkholes", "sinkhole", "MISP sinkhole list"),
    Source("umbrella-blockpage-v4", "sinkhole", "Cisco Umbrella block page"),
    Source("umbrella-blockpage-v6", "sinkhole", "Cisco Umbrella block page"),
    Source("umbrella-blockpage-hostname", "sinkhole", "Cisco Umbrella block page"),
    Source("parking-domain", "parking", "MISP parking list"),
    Source("parking-domain-ns", "parking", "MISP parking name server list"),
    Source("cloudflare", "cdn", "Cloudflare"),
    Source("akamai", "cdn", "Akamai"),
    Source("fastly", "cdn", "Fastly"),
    Source("stackpath", "cdn", "StackPath"),
    Source("bunny", "cdn", "bunny.net"),
    Source("zscaler", "cdn", "Zscaler"),
    Source("ovh-cluster", "hosting", "OVH shared hosting"),
    Source("amazon-aws", "cloud", "Amazon Web Services"),
    Source("microsoft-azure", "cloud", "Microsoft Azure"),
    Source("microsoft-azure-china", "cloud", "Microsoft Azure China"),
    Source("microsoft-azure-germany", "cloud", "Microsoft Azure Germany"),
    Source("microsoft-azure-us-gov", "cloud", "Microsoft Azure US Government"),
    Source("google-gcp", "cloud", "Google Cloud"),
    Source("dynamic-dns", "dynamicDns", "MISP dynamic DNS list"),
    Source("lots-project", "dynamicDns", "Living Off Trusted Sites list", dotted_only=True),
)
"""By precedence: an address on several lists counts for the first. A list that the installed
version of the package does not have is left out."""


def compile_lists() -> str:
    """Return the text of the snapshot made from the installed package."""
    version = importlib.metadata.version(PACKAGE)
    found = [
        (source, document)
        for source in SOURCES
        if (document := _document(source.folder)) is not None
    ]
    newest = max(
        when for _, document in found if (when := list_date(document["version"])) is not None
    )
    lines = [
        "# Shared infrastructure as public lists know it. An address is in one section only.",
        "# Made by: python -m tools.compile_lists",
        f"# source: {PACKAGE} {version}, MISP warning lists, CC0 1.0",
        f"# snapshot: {newest.isoformat()}",
    ]
    suffixes = {
        name
        for source, document in found
        if source.role == "dynamicDns"
        for name in names(_entries(source, document), suffixes=frozenset())
    }
    taken: list[Network] = []
    for source, document in found:
        is_networks = document["type"] == "cidr"
        lines.append(
            f"[{source.role} {'networks' if is_networks else 'names'}] {source.provider} "
            f"({source.folder} {document['version']})"
        )
        if is_networks:
            wanted = [_network(entry) for entry in document["list"]]
            lines += (str(network) for network in without(wanted, taken))
            taken += wanted
        else:
            foreign = frozenset() if source.role == "dynamicDns" else suffixes
            lines += names(_entries(source, document), suffixes=foreign)
    return "\n".join(lines) + "\n"


def list_date(version: object) -> date | None:
    """Return the date a list's version stands for; lists with a plain counter have none."""
    text = str(version)
    if not re.fullmatch(r"20\d{6}", text):
        return None
    return date(int(text[:4]), int(text[4:6]), int(text[6:]))


def without(networks: Iterable[Network], taken: Iterable[Network]) -> list[Network]:
    """Return what `networks` cover and `taken` do not, as the fewest networks, sorted."""
    networks, taken = list(networks), list(taken)
    result: list[Network] = []
    for family in (IPv4Network, IPv6Network):
        kept = _subtract(
            _ranges(network for network in networks if isinstance(network, family)),
            _ranges(network for network in taken if isinstance(network, family)),
        )
        address = IPv4Address if family is IPv4Network else IPv6Address
        for first, last in kept:
            result.extend(summarize_address_range(address(first), address(last)))
    return result


def names(entries: Iterable[str], *, suffixes: Set[str]) -> list[str]:
    """Return host names in their canonical spelling, sorted by their labels from the right.

    Names of `suffixes` are left out: `wordpress.com`, listed as a name server of parked domains,
    would speak for every blog below it.
    """
    spelled = {entry.strip().strip(".").lower() for entry in entries}
    kept = (name for name in spelled if _NAME.fullmatch(name) and name not in suffixes)
    return sorted(kept, key=lambda name: name.split(".")[::-1])


def _entries(source: Source, document: Mapping[str, Any]) -> list[str]:
    if not source.dotted_only:
        return [str(entry) for entry in document["list"]]
    return [str(entry) for entry in document["list"] if str(entry).startswith(".")]


def _document(folder: str) -> dict[str, Any] | None:
    root = importlib.metadata.distribution(PACKAGE).locate_file(PACKAGE)
    path = Path(str(root)) / "data" / "misp-warninglists" / "lists" / folder / "list.json"
    if not path.exists():
        return None
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def _network(entry: str) -> Network:
    network = ip_network(entry, strict=False)
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network


def _ranges(networks: Iterable[Network]) -> list[Range]:
    """Return the networks of one family as sorted ranges that do not meet."""
    collapsed = collapse_addresses(networks)  # type: ignore[type-var]
    return [(int(one.network_address), int(one.broadcast_address)) for one in collapsed]


def _subtract(ranges: Sequence[Range], taken: Sequence[Range]) -> list[Range]:
    kept = []
    ends = [last for _, last in taken]
    for first, last in ranges:
        for taken_first, taken_last in taken[bisect_left(ends, first) :]:
            if taken_first > last:
                break
            if taken_first > first:
                kept.append((first, taken_first - 1))
            first = taken_last + 1
        if first <= last:
            kept.append((first, last))
    return kept


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the snapshot; return the exit code."""
    parser = argparse.ArgumentParser(description="Compile the lists of shared infrastructure.")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args(arguments)
    text = compile_lists()
    if options.check:
        same = TARGET.exists() and TARGET.read_text(encoding="utf-8") == text
        sys.stdout.write(f"{TARGET.name} is {'up to date' if same else 'not what would be made'}\n")
        return 0 if same else 1
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{TARGET.name}: {len(text.splitlines()):,} lines, {len(text):,} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
