"""docs/deploy.md is followed step by step; its tables and those of operations.md are the code's."""

import ast
import re
from collections.abc import Iterator

import pytest

from mdti.feeds.settings import FEED_SETTINGS
from mdti.graph_api import HUNTING_PERMISSION, PERMISSION
from mdti.settings import SETTINGS
from tests.arm.template import load
from tests.infra.fake_az import KNOWN
from tests.infra.templates import PLATFORM, ROOT
from tests.infra.tenant import WORKSPACE, Tenants
from tools.compose import PLAYBOOKS

PAGE = ROOT / "docs" / "deploy.md"
TEXT = "\n".join(page.read_text("utf-8") for page in (PAGE, PAGE.with_name("operations.md")))
SAYERS = (
    "status",
    "settings",
    "credentials",
    "graph_api",
    "app",
    "index",
    "store/azure_calls",
    "feeds/health",
    "feeds/registry",
)
"""Modules whose words the self-test repeats."""

GAP = "…"


def section(title: str) -> str:
    """Return what stands below a heading, up to the next one of its level or above."""
    (level, body) = re.findall(rf"^(#+) {title}\n(.*)", TEXT, re.MULTILINE | re.DOTALL)[0]
    return str(re.split(rf"^#{{1,{len(level)}}} ", body, maxsplit=1, flags=re.MULTILINE)[0])


def rows(title: str, columns: int) -> list[list[str]]:
    """Return the rows of the tables of a section that have that many columns."""
    found = []
    for line in section(title).splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if line.startswith("|") and len(cells) == columns and not set(line) <= set("|- "):
            found.append(cells)
    return found


def steps(title: str) -> list[str]:
    """Return the commands of a section, block by block."""
    return re.findall(r"^```sh\n(.*?)^```", section(title), re.MULTILINE | re.DOTALL)


def test_the_steps_lead_from_an_empty_subscription_to_a_playbook_that_sentinel_starts(
    tenants: Tenants,
) -> None:
    tenant = tenants(identities={}, groups=["rg-soc"], sites=[], workflows=[])
    result = tenant.shell("set -e\n" + "".join(steps("Step by step")))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1] == "Nothing is missing."
    state = tenant.state
    assert {one["properties"]["state"] for one in state["workflows"]} == {"Enabled"}
    assert state["settings"] == {"AzureWebJobs.daily.Disabled": "false"}
    targets = {
        action["actionConfiguration"]["logicAppResourceId"]
        for rule in state["rules"][WORKSPACE.rpartition("/")[2]]
        for action in rule["properties"]["actions"]
    }
    assert targets == {one["id"] for one in state["workflows"]}


def test_the_steps_can_be_repeated(tenants: Tenants) -> None:
    tenant = tenants(identities={}, groups=["rg-soc"], sites=[], workflows=[])
    commands = "set -e\n" + "".join(steps("Step by step"))
    tenant.shell(commands)
    grants = tenant.granted
    assert tenant.shell(commands).returncode == 0
    assert tenant.granted == grants


def test_every_parameter_of_the_platform_is_explained() -> None:
    names = {
        name
        for first, _ in rows("Parameters of the platform", 2)[1:]
        for name in re.findall(r"`(\w+)`", first)
    }
    assert names == set(load(PLATFORM)["parameters"])


def test_every_setting_in_capitals_exists() -> None:
    known = {setting.name for setting in (*SETTINGS, *FEED_SETTINGS)}
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", TEXT))
    assert named - known <= {"AZURE_CLIENT_ID", "AZURE_LOCATION"}


def test_every_feed_and_playbook_is_named() -> None:
    for folder in PLAYBOOKS:
        assert f"../logicapps/{folder}/README.md" in TEXT


def test_every_link_leads_somewhere() -> None:
    anchors = {
        re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXT):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        if path:
            assert (PAGE.parent / path).exists(), target
        else:
            assert anchor in anchors, target


def test_commands_in_the_text_are_known() -> None:
    for command in re.findall(r"`az ([a-z -]+?)(?: --\w[^`]*)?`", TEXT):
        words = tuple(command.split())
        assert words in KNOWN or words in {
            ("functionapp", "list-flexconsumption-locations"),
            ("keyvault", "purge"),
            ("keyvault", "recover"),
            ("provider", "register"),
        }


def spoken() -> Iterator[str]:
    """Yield what the modules can say, with a gap for every part that differs."""
    for name in SAYERS:
        tree = ast.parse((ROOT / "mdti" / f"{name}.py").read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant | ast.JoinedStr):
                yield words(node)


def words(node: ast.expr) -> str:
    """Return a text of the source; permissions by their names, other parts as a gap."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if not isinstance(node, ast.JoinedStr):
        return GAP
    parts = []
    for part in node.values:
        named = part.value if isinstance(part, ast.FormattedValue) else None
        if isinstance(named, ast.Name):
            permissions = {"PERMISSION": PERMISSION, "HUNTING_PERMISSION": HUNTING_PERMISSION}
            parts.append(permissions.get(named.id, GAP))
        else:
            parts.append(words(part))
    return "".join(parts)


def agree(page: str, code: str) -> bool:
    """Return whether a message of the page is one that the code can say."""
    page, code = (text.strip().rstrip(".").lower() for text in (page, code))
    if sum(map(str.isalpha, code.replace(GAP, ""))) < 6:
        return False
    return _covers(page, code) or _covers(code, page)


def _covers(general: str, special: str) -> bool:
    pattern = ".+".join(re.escape(part) for part in general.split(GAP))
    return re.fullmatch(pattern, special) is not None


STATUS = [row for row in rows("When it does not work", 3) if row[0] != "check"]


@pytest.mark.parametrize(("check", "message"), [(row[0], row[1]) for row in STATUS])
def test_the_self_test_can_say_every_message_of_the_table(check: str, message: str) -> None:
    texts = set(spoken())
    assert check in texts
    assert any(agree(message, text) for text in texts)


def test_every_check_and_every_failure_of_the_self_test_is_in_the_table() -> None:
    checks = {row[0] for row in STATUS}
    messages = [row[1] for row in STATUS]
    said = list(judged("status", "Check", before=1)) + list(judged("feeds/health", "Health"))
    for _, state, text in said:
        if state != "ok" and text.replace(GAP, "").strip():
            assert any(agree(shown, text) for shown in messages), text
    assert len([state for _, state, _ in said if state != "ok"]) >= 10
    tree = ast.parse((ROOT / "mdti" / "status.py").read_text("utf-8"))
    run = next(node for node in ast.walk(tree) if getattr(node, "name", "") == "run")
    named = {
        words(node.elts[0])
        for node in ast.walk(run)
        if isinstance(node, ast.Tuple) and len(node.elts) == 2
    }
    assert checks == (named | {name for name, _, _ in said}) - {GAP, ""}


def judged(module: str, kind: str, *, before: int = 0) -> Iterator[tuple[str, str, str]]:
    """Yield name, state and message of each `kind` that a module makes.

    `before` is how many arguments, the name among them, stand before the state.
    """
    tree = ast.parse((ROOT / "mdti" / f"{module}.py").read_text("utf-8"))
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        assigned = {
            (target.id, node.lineno): node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(function):
            if not isinstance(node, ast.Call) or words_of_call(node) != kind:
                continue
            name = words(node.args[0]) if before else ""
            state, message, *_ = node.args[before:]
            lines = [
                line
                for known, line in assigned
                if known == getattr(message, "id", "") and line < node.lineno
            ]
            text = assigned[message.id, max(lines)] if lines else message  # type: ignore[attr-defined]
            yield name, words(state), words(text)


def words_of_call(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ""
