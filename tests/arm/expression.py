"""Parses the expressions of a template into trees."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.arm.template import BadTemplate

Token = tuple[str, Any]

_TOKEN = re.compile(r"\s*(?:'((?:[^']|'')*)'|(-?\d+)|([A-Za-z_]\w*)|([()\[\],.]))")


@dataclass(frozen=True, slots=True)
class Value:
    """A literal in an expression."""

    value: Any


@dataclass(frozen=True, slots=True)
class Call:
    """A function call in an expression."""

    name: str
    arguments: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A property or an element: `of.name`, `of[key]`."""

    of: "Node"
    key: "Node"


Node = Value | Call | Part


def parse(text: str) -> Node:
    """Return the tree of an expression without its brackets; raise BadTemplate."""
    tokens = tokenize(text)
    try:
        node, rest = _node(tokens)
    except IndexError:
        raise BadTemplate(f"[{text}] ends too early") from None
    if rest:
        raise BadTemplate(f"[{text}]: left over {rest[0][1]!r}")
    return node


def tokenize(text: str) -> list[Token]:
    """Return the tokens of an expression: values, names and marks."""
    tokens: list[Token] = []
    position = 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if match is None:
            raise BadTemplate(f"[{text}] cannot be read at {position}")
        quoted, number, name, mark = match.groups()
        if quoted is not None:
            tokens.append(("value", quoted.replace("''", "'")))
        elif number is not None:
            tokens.append(("value", int(number)))
        else:
            tokens.append(("name", name) if name else ("mark", mark))
        position = match.end()
    return tokens


def _node(tokens: Sequence[Token]) -> tuple[Node, Sequence[Token]]:
    (kind, head), *rest = tokens
    node: Node
    if kind == "value":
        node = Value(head)
    elif kind == "name" and rest[0] == ("mark", "("):
        arguments: list[Node] = []
        rest = rest[1:]
        while rest[0] != ("mark", ")"):
            if arguments:
                if rest[0] != ("mark", ","):
                    raise BadTemplate(f"a comma is missing before {rest[0][1]!r}")
                rest = rest[1:]
            argument, following = _node(rest)
            arguments.append(argument)
            rest = list(following)
        node, rest = Call(head, tuple(arguments)), rest[1:]
    else:
        raise BadTemplate(f"{head!r} is neither a value nor a call")
    while rest and rest[0] in (("mark", "."), ("mark", "[")):
        if rest[0] == ("mark", "."):
            if rest[1][0] != "name":
                raise BadTemplate(f"{rest[1][1]!r} is no property")
            node, rest = Part(node, Value(rest[1][1])), rest[2:]
            continue
        key, following = _node(rest[1:])
        if not following or following[0] != ("mark", "]"):
            raise BadTemplate("a bracket is missing")
        node, rest = Part(node, key), list(following[1:])
    return node, rest


def is_expression(text: Any) -> bool:
    """Return whether a JSON value is an expression and no plain text."""
    return (
        isinstance(text, str)
        and text.startswith("[")
        and text.endswith("]")
        and not text.startswith("[[")
    )


def expressions(tree: Any) -> Iterator[str]:
    """Yield every expression of a JSON tree without its brackets, keys included.

    A nested template is left out: its expressions see other parameters.
    """
    if is_expression(tree):
        yield tree[1:-1]
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from expressions(key)
            if key != "template":
                yield from expressions(value)
    elif isinstance(tree, list):
        for item in tree:
            yield from expressions(item)


def calls(node: Node) -> Iterator[Call]:
    """Yield every function call of an expression."""
    if isinstance(node, Call):
        yield node
        for argument in node.arguments:
            yield from calls(argument)
    elif isinstance(node, Part):
        yield from calls(node.of)
        yield from calls(node.key)
