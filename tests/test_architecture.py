"""The rooms of the package and the one direction of their imports, read from the syntax trees."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAX_LINES = 350

GROUND = frozenset(
    {"mdti", "models", "incident_models", "errors", "moment", "ioc", "setting", "settings"}
)
"""Values. Settings are among them: reading an environment is done by whoever holds one."""

PURE = frozenset(
    {
        "allowlist",
        "attribution",
        "brief",
        "chain",
        "contract",
        "entities",
        "graph",
        "infrastructure",
        "naming",
        "net.gate",
        "pruning",
        "render",
    }
)
EDGE = frozenset({"client", "credentials", "graph_api", "net", "store"})
SERVICES = frozenset(
    {"cache", "exposure", "feeds", "incident", "index", "job", "jobs", "lookup", "status"}
)
APP = frozenset({"app"})
DOORS = frozenset(
    {
        "__main__",
        "arguments",
        "cli",
        "console",
        "demo",
        "door",
        "feeding",
        "function_app",
        "http",
        "listener",
        "listing",
        "openapi",
        "progress",
        "routes",
        "sandboxed",
        "schemas",
        "serve",
    }
)
LEVELS = (GROUND, PURE, EDGE, SERVICES, APP, DOORS)
SANDBOX_DOORS = frozenset({"cli", "demo", "sandboxed", "serve"})

HEAVY = frozenset(
    {"azure.core", "azure.identity", "azure.storage", "idna", "msal", "publicsuffixlist", "stix2",
     "stix2patterns", "yaml"}
)  # fmt: skip
"""Slow to load and not needed by every answer."""

WORLDLY = frozenset(
    {"asyncio", "azure", "concurrent", "http", "os", "random", "requests", "secrets", "socket",
     "ssl", "subprocess", "tempfile", "threading", "time", "urllib.request", "uuid.uuid4"}
)  # fmt: skip
"""Network, clock, chance, processes and threads: a pure room is handed what it needs of them."""

CLOCKS = re.compile(r"\b(?:datetime|date)\.(?:now|utcnow|today)\(")


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement's target; `lazy` inside a function, `typing` for type checkers only."""

    target: str
    lazy: bool
    typing: bool


@dataclass(frozen=True, slots=True)
class Module:
    """A module of the product by its dotted name."""

    name: str
    text: str
    tree: ast.Module
    imports: tuple[Import, ...]

    @property
    def room(self) -> str:
        return self.name.removeprefix("mdti.")


@cache
def modules() -> Mapping[str, Module]:
    paths = [ROOT / "function_app.py", *sorted((ROOT / "mdti").rglob("*.py"))]
    names = {_name(path): path for path in paths}
    found = {}
    for name, path in names.items():
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        found[name] = Module(name, text, tree, tuple(_imports(tree, names)))
    return found


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(
    node: ast.AST, names: Iterable[str], *, lazy: bool = False, typing: bool = False
) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, lazy, typing) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            assert child.module
            for alias in child.names:
                full = f"{child.module}.{alias.name}"
                known = child.module.split(".")[0] == "mdti" and full not in names
                yield Import(child.module if known else full, lazy, typing)
        yield from _imports(
            child,
            names,
            lazy=lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda),
            typing=typing
            or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)),
        )


def level(room: str) -> int:
    """Return the level of a room; the longest name that is listed decides."""
    parts = room.split(".")
    for length in range(len(parts), 0, -1):
        listed = ".".join(parts[:length])
        for number, rooms in enumerate(LEVELS):
            if listed in rooms:
                return number
    raise AssertionError(f"{room} has no place in LEVELS")


def inside(target: str, names: Iterable[str]) -> bool:
    return any(target == name or target.startswith(f"{name}.") for name in names)


def ours(module: Module) -> Iterator[tuple[str, Import]]:
    """Return the rooms that a module imports, the sandbox apart."""
    for imported in module.imports:
        if inside(imported.target, ["mdti"]) and not inside(imported.target, ["mdti.sandbox"]):
            yield imported.target.removeprefix("mdti."), imported


def loaded_by(root: str) -> set[str]:
    """Return every module of ours that importing `root` loads."""
    found: set[str] = set()
    waiting = [root]
    while waiting:
        name = waiting.pop()
        if name in found or name not in modules():
            continue
        found.add(name)
        parents = [name.rpartition(".")[0]] if "." in name else []
        now = [one.target for one in modules()[name].imports if not one.lazy and not one.typing]
        waiting += [*parents, *now]
    return found


def documented(node: ast.Module | ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Return what is public below `node`, with its docstring; that there is one, ruff sees to."""
    yield getattr(node, "name", "module"), ast.get_docstring(node) or "Nothing."
    for child in node.body:
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from documented(child)
        elif isinstance(child, ast.FunctionDef) and not child.name.startswith("_"):
            yield child.name, ast.get_docstring(child) or "Nothing."


PRODUCT = sorted(name for name in modules() if not inside(name, ["mdti.sandbox"]))
SANDBOX = sorted(name for name in modules() if inside(name, ["mdti.sandbox"]))
THINKING = [name for name in PRODUCT if level(name.removeprefix("mdti.")) < LEVELS.index(EDGE)]


@pytest.mark.parametrize("name", PRODUCT)
def test_imports_go_one_way_from_the_doors_to_the_ground(name: str) -> None:
    module = modules()[name]
    mine = level(module.room)
    upward = [room for room, one in ours(module) if not one.typing and level(room) > mine]
    assert upward == []


def test_no_two_modules_load_each_other() -> None:
    edges = {
        name: {
            one.target for one in module.imports
            if not one.lazy and not one.typing and one.target in modules()
        }
        for name, module in modules().items()
    }  # fmt: skip
    while leaves := [name for name, targets in edges.items() if not targets]:
        edges = {n: t.difference(leaves) for n, t in edges.items() if n not in leaves}
    assert edges == {}


@pytest.mark.parametrize("name", SANDBOX)
def test_the_sandbox_imports_nothing_of_the_rest(name: str) -> None:
    assert list(ours(modules()[name])) == []


def test_the_sandbox_is_imported_by_the_command_line_alone_and_lazily() -> None:
    users = {
        module.room
        for module in modules().values()
        if module.name in PRODUCT
        and any(inside(one.target, ["mdti.sandbox"]) for one in module.imports)
    }
    assert users <= SANDBOX_DOORS
    for door in ("function_app", "mdti.cli", "mdti.__main__", "mdti.app", "mdti.serve"):
        assert not loaded_by(door) & set(SANDBOX)


@pytest.mark.parametrize("name", sorted(modules()))
def test_heavy_libraries_are_imported_inside_functions(name: str) -> None:
    early = [
        one.target
        for one in modules()[name].imports
        if not one.lazy and not one.typing and inside(one.target, HEAVY)
    ]
    assert early == []


@pytest.mark.parametrize("name", THINKING)
def test_a_pure_room_takes_no_network_no_clock_and_no_chance(name: str) -> None:
    module = modules()[name]
    assert [one.target for one in module.imports if inside(one.target, WORLDLY)] == []
    assert CLOCKS.findall(module.text) == []


def test_libraries_from_elsewhere_are_those_that_the_package_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project.get("optional-dependencies", {}).values()
    declared = [*project["dependencies"], *(one for extra in optional for one in extra)]
    names = [
        re.split(r"[^\w-]", one)[0].lower().replace("-", "").replace("pyyaml", "yaml")
        for one in declared
    ]
    roots = {one.target.split(".")[0] for module in modules().values() for one in module.imports}
    foreign = roots - {"mdti", *sys.stdlib_module_names}
    names.append("urllib3")  # what requests is made of
    assert {root for root in foreign if not any(name.startswith(root) for name in names)} == set()


@pytest.mark.parametrize("name", sorted(modules()))
def test_a_module_fits_a_readers_head(name: str) -> None:
    assert len(modules()[name].text.splitlines()) <= MAX_LINES


@pytest.mark.parametrize("name", sorted(modules()))
def test_everything_public_is_described_in_a_sentence(name: str) -> None:
    for what, text in documented(modules()[name].tree):
        opening = text.split("\n\n")[0]
        assert opening[0].isupper() or not opening[0].isalpha(), what
        assert opening.endswith((".", ":")), what
