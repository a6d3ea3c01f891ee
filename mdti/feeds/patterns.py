"""STIX patterns: which observables one names, when each of them alone makes it match.

An indicator carries one value, so a pattern may be taken apart only where its comparisons are
joined by OR. One arm of an AND, or a comparison under a qualifier, would match what the pattern
does not mean; such patterns are refused whole, with the reason.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from mdti.feeds.values import ValueKind

MAX_PATTERN = 8_192
"""Longest pattern in characters that is parsed; `tests.bench.sources` says what parsing costs."""
_MAX_DEPTH = 32

_KINDS: Mapping[str, ValueKind] = MappingProxyType(
    {
        "ipv4-addr:value": "host",
        "ipv6-addr:value": "host",
        "domain-name:value": "host",
        "hostname:value": "host",
        "network-traffic:src_ref.value": "host",
        "network-traffic:dst_ref.value": "host",
        "url:value": "url",
        "email-addr:value": "email",
        "file:hashes.md5": "md5",
        "file:hashes.sha1": "sha1",
        "file:hashes.sha256": "sha256",
    }
)
_ENDPOINT_TYPE = re.compile(r"network-traffic:(src|dst)_ref\.type")
_SINGLE = re.compile(
    r"\s*\[\s*([a-z][a-z0-9-]*:[A-Za-z0-9_.'\-]+?)\s*=\s*'((?:[^'\\]|\\['\\])*)'\s*\]\s*"
)
_UNESCAPE = re.compile(r"\\(['\\])")
# Kinds of parse-tree nodes that make a comparison more than "this value, whenever".
_REFUSED_NODES = MappingProxyType(
    {
        "PropTestOrderContext": "pattern compares by order",
        "PropTestLikeContext": "pattern with LIKE",
        "PropTestRegexContext": "pattern with MATCHES",
        "PropTestIsSubsetContext": "network",
        "PropTestIsSupersetContext": "pattern with ISSUPERSET",
        "PropTestExistsContext": "pattern with EXISTS",
        "ObservationExpressionRepeatedContext": "pattern with a qualifier",
        "ObservationExpressionStartStopContext": "pattern with a qualifier",
        "ObservationExpressionWithinContext": "pattern with a qualifier",
    }
)


@dataclass(frozen=True, slots=True)
class Observables:
    """The values that a pattern names, and by reason how many it names that a feed cannot carry."""

    found: tuple[tuple[ValueKind, str], ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)


def observables(pattern: object) -> Observables:
    """Return the observables of a STIX pattern (STIX 2.1, part 9); never raises."""
    if not isinstance(pattern, str):
        return _refused("no pattern")
    if len(pattern) > MAX_PATTERN:
        return _refused("pattern too long")
    single = _SINGLE.fullmatch(pattern)
    if single is not None and _is_path(single[1]):
        # Nearly every pattern of a feed has this form, and the grammar takes more than ten times
        # as long; a test holds the two readings equal.
        return _sum_up([(single[1], _UNESCAPE.sub(r"\1", single[2]))])
    if pattern.count("(") > _MAX_DEPTH:
        return _refused("pattern too deep")
    return by_grammar(pattern)


def by_grammar(pattern: str) -> Observables:
    """Return the observables of a pattern as the full grammar reads it."""
    from stix2patterns.exceptions import ParseException  # few feeds need it at all
    from stix2patterns.v21.pattern import Pattern

    tree = _Tree()
    try:
        Pattern(pattern).visit(tree)
    except (ParseException, RecursionError):
        return _refused("pattern cannot be parsed")
    if tree.reason is not None:
        return _refused(tree.reason)
    return _sum_up(tree.comparisons)


def kind_of(path: str) -> ValueKind | None:
    """Return what the value at an object path is, such as `file:hashes.'SHA-256'`; None: other."""
    name = path.lower().replace("'", "")
    if name.startswith("file:hashes"):
        name = name.replace("[", ".").replace("]", "").replace("-", "")
    return _KINDS.get(name)


class _Tree:
    """Walks a parse tree and gathers its comparisons, or the first reason to refuse it."""

    def __init__(self) -> None:
        self.comparisons: list[tuple[str, str]] = []
        self.reason: str | None = None

    def visit(self, root: Any) -> None:
        """Read a whole tree; without recursion, for its depth is the sender's choice."""
        nodes = [root]
        while nodes and self.reason is None:
            node = nodes.pop()
            nodes += reversed(self._read(node))

    def _read(self, node: Any) -> list[Any]:
        kind = type(node).__name__
        children = list(getattr(node, "children", None) or ())
        tokens = {child.getText() for child in children if not getattr(child, "children", None)}
        if kind in _REFUSED_NODES:
            self.reason = _REFUSED_NODES[kind]
        elif "FOLLOWEDBY" in tokens:
            self.reason = "pattern with FOLLOWEDBY"
        elif "AND" in tokens:
            return self._and(node, kind)
        elif kind in ("PropTestEqualContext", "PropTestSetContext"):
            self._compare(children, tokens)
            return []
        return children

    def _and(self, node: Any, kind: str) -> list[Any]:
        """Admit an AND only when all it adds to one value is which address type that value has."""
        tests = list(_tests(node)) if kind.startswith("ComparisonExpressionAnd") else []
        others = [test for test in tests if not _ENDPOINT_TYPE.match(test.getText())]
        if len(others) != 1 or not others[0].getText().startswith("network-traffic:"):
            self.reason = "pattern with AND"
            return []
        return others

    def _compare(self, children: list[Any], tokens: set[str]) -> None:
        if tokens & {"NOT", "!=", "<>"}:
            self.reason = "pattern with NOT"
            return
        path = children[0].getText()
        self.comparisons += [(path, _literal(token)) for token in _literals(children[-1])]


def _tests(node: Any) -> Iterator[Any]:
    nodes = [node]
    while nodes:
        one = nodes.pop()
        if type(one).__name__.startswith("PropTest"):
            yield one
        else:
            nodes += getattr(one, "children", None) or ()


def _literals(node: Any) -> Iterator[str]:
    nodes = [node]
    while nodes:
        one = nodes.pop()
        children = getattr(one, "children", None)
        if children:
            nodes += reversed(children)
        elif one.getText() not in ("(", ")", ","):
            yield one.getText()


def _literal(token: str) -> str:
    """Return a literal's text; numbers and the like stay as written and fit no value."""
    if len(token) >= 2 and token[0] == token[-1] == "'":
        return _UNESCAPE.sub(r"\1", token[1:-1])
    return token


def _is_path(path: str) -> bool:
    """Tell whether the short way may read a path: no quotes but around the last step."""
    return path.count("'") in (0, 2) and re.fullmatch(r"[^']+(?:\.'[^']+')?", path) is not None


def _refused(reason: str) -> Observables:
    return Observables(skipped={reason: 1})


def _sum_up(comparisons: list[tuple[str, str]]) -> Observables:
    found: dict[tuple[ValueKind, str], None] = {}
    skipped: Counter[str] = Counter()
    for path, text in comparisons:
        kind = kind_of(path)
        if kind is None:
            skipped["other kind of observable"] += 1
        else:
            found[kind, text] = None
    return Observables(tuple(found), dict(skipped))
