"""The documents say what the code does: routes, settings, commands, errors, formats."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdti.arguments import command_line
from mdti.errors import MdtiError
from mdti.feeds.settings import FEED_SETTINGS
from mdti.openapi import OPERATIONS
from mdti.render import FORMATS
from mdti.setting import Setting
from mdti.settings import SETTINGS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
ERRORS = (ROOT / "docs" / "errors.md").read_text()
SETTINGS_DOC = (ROOT / "docs" / "settings.md").read_text()


def errors(base: type[MdtiError] = MdtiError) -> Iterator[type[MdtiError]]:
    yield base
    for kind in base.__subclasses__():
        yield from errors(kind)


@pytest.mark.parametrize("setting", [*SETTINGS, *FEED_SETTINGS], ids=lambda setting: setting.name)
def test_every_setting_is_documented_with_its_default_and_form(setting: Setting[object]) -> None:
    (row,) = [
        line for line in SETTINGS_DOC.splitlines() if line.startswith(f"| `{setting.name}` |")
    ]
    _, _, default, form, about, _ = row.split("|")
    assert default.strip().strip("`") == setting.default
    assert (form.strip(), about.strip()) == (setting.form, setting.about)


@pytest.mark.parametrize("kind", sorted({(e.code, e.http_status) for e in errors()}))
def test_every_error_is_documented_with_its_status(kind: tuple[str, int]) -> None:
    code, status = kind
    assert re.search(rf"^\| `{code}` \| {status} \|", ERRORS, re.MULTILINE)


def test_every_route_is_documented() -> None:
    for operation in OPERATIONS:
        assert f"`{operation.method.upper()} {operation.path}" in README, operation


def test_every_command_and_format_is_documented() -> None:
    (commands,) = [a.choices for a in command_line()._actions if a.dest == "command"]
    assert commands
    for name in commands:
        assert re.search(rf"`(mdti )?{name}`", README), name
    for name in FORMATS:
        assert name in README.partition("Formats:")[2].partition("\n\n")[0], name


def test_every_file_that_a_document_links_to_exists() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), (document.name, target)


def test_every_defect_has_a_test_that_exists() -> None:
    text = (ROOT / "docs" / "defects.md").read_text()
    entries = re.split(r"^(\d+)\. ", text, flags=re.MULTILINE)[1:]
    assert [int(number) for number in entries[::2]] == list(range(1, 26))
    for number, entry in zip(entries[::2], entries[1::2], strict=True):
        tests = re.findall(r"`(tests/\S+\.py)::(\w+)`", entry)
        assert tests, number
        for path, name in tests:
            assert f"def {name}(" in (ROOT / path).read_text(), (number, path, name)
