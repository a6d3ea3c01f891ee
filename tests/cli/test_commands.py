"""The command line as a user meets it, against the sandbox."""

import csv
import io
import json
import os
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
import stix2

from mdti.arguments import LIST_FORMATS, REPORT_FORMATS, command_line
from mdti.cli import main
from mdti.render import FORMATS
from mdti.sandbox.faults import Fault
from mdti.sandbox.host import Sandbox

SEED = "telemetry-cache.example"

Out = pytest.CaptureFixture[str]


def parsed_json(text: str) -> None:
    assert json.loads(text)["ioc"] == {"value": SEED, "kind": "name"}


def parsed_html(text: str) -> None:
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append(tag)  # type: ignore[method-assign]
    parser.feed(text)
    assert {"svg", "table"} <= set(tags)
    assert "script" not in tags


def parsed_csv(text: str) -> None:
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["actor"] for row in rows if row["row"] == "evidence"} == {"Paper Drizzle"}


def parsed_stix(text: str) -> None:
    bundle = stix2.parse(text, allow_custom=False)
    assert "Paper Drizzle" in {thing.get("name") for thing in bundle.objects}


def parsed_text(text: str) -> None:
    assert "telemetry-cache[.]example: linked to 1 actor" in text
    assert "\x1b" not in text


def parsed_markdown(text: str) -> None:
    assert re.search(r"^#+ .*telemetry-cache", text, re.MULTILINE)
    assert re.search(r"^\|[ :|-]+\|$", text, re.MULTILINE)


def parsed_mermaid(text: str) -> None:
    assert text.startswith(("flowchart", "graph"))


CHECKS: dict[str, Callable[[str], None]] = {
    "text": parsed_text,
    "json": parsed_json,
    "markdown": parsed_markdown,
    "html": parsed_html,
    "csv": parsed_csv,
    "stix": parsed_stix,
    "mermaid": parsed_mermaid,
}


def test_every_format_of_a_report_can_be_asked_for() -> None:
    assert set(REPORT_FORMATS) == set(FORMATS) == set(CHECKS)


@pytest.mark.parametrize("name", REPORT_FORMATS)
def test_a_look_up_comes_in_every_format_and_says_nothing_else(
    name: str, sandbox: Sandbox, capsys: Out
) -> None:
    assert main(["lookup", "telemetry-cache[.]example", "--format", name]) == 0
    shown = capsys.readouterr()
    CHECKS[name](shown.out)
    assert shown.err == ""


def test_refused_iocs_are_named_with_the_reason_and_the_rest_is_looked_up(
    sandbox: Sandbox, capsys: Out
) -> None:
    assert main(["lookup", "10.0.0.1", SEED, "localhost"]) == 0
    shown = capsys.readouterr()
    assert "10.0.0.1 is a private address" in shown.err
    assert "'localhost' is a single label" in shown.err
    assert "telemetry-cache[.]example: linked" in shown.out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["lookup"], "There is no IOC to look up."),
        (["lookup", "10.0.0.1"], "There is no IOC to look up."),
        (["lookup", SEED, "--depth", "9"], "`depth` must be a whole number from 0 to 3."),
        (["lookup", "--file", "absent.txt"], "absent.txt could not be read: No such file"),
        (["lookup", SEED, "--output", "absent/report.html"], "there is no folder absent"),
        (["lookup", SEED, "--output", "."], ". is a folder."),
        (["lookup", SEED, "--at", "soon"], "'soon' is not a time such as"),
        (["lookup", SEED, "--format", "pdf"], "invalid choice"),
        (["incident", os.devnull], f"{os.devnull} is not JSON."),
        ([], "required"),
        (["feed"], "required"),
        (["fed"], "invalid choice"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(
    arguments: list[str], reason: str, sandbox: Sandbox, capsys: Out
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert reason in shown.err
    assert shown.out == ""
    assert not sandbox.requests


def test_an_incident_becomes_a_brief(incident: Path, capsys: Out) -> None:
    assert main(["incident", str(incident), "--format", "json"]) == 0
    brief = json.loads(capsys.readouterr().out)
    assert brief["raise"] is True
    assert brief["tags"] == [{"Tag": "Paper Drizzle"}]


def test_a_body_without_an_incident_is_wrong_usage(
    sandbox: Sandbox, tmp_path: Path, capsys: Out
) -> None:
    (tmp_path / "other.json").write_text("{}")
    assert main(["incident", str(tmp_path / "other.json")]) == 2
    assert "`object.id` is missing" in capsys.readouterr().err


def test_an_answer_with_gaps_is_shown_and_ends_with_3(sandbox: Sandbox, capsys: Out) -> None:
    sandbox.faults.set([Fault(kind="error", route="GET */hosts/198.51.100.23/*", status=403)])
    assert main(["lookup", SEED]) == 3
    assert "INCOMPLETE" in capsys.readouterr().out


def test_the_time_the_question_is_about_decides_what_is_seen(sandbox: Sandbox, capsys: Out) -> None:
    assert main(["lookup", SEED, "--at", "2020-01-01", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["resolutions"] == []


def test_actors_are_listed_and_shown_by_title_or_alias(sandbox: Sandbox, capsys: Out) -> None:
    assert main(["actors"]) == 0
    assert "Paper Drizzle       actor  also DEV-9301" in capsys.readouterr().out
    assert main(["actors", "dev-9301"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Paper Drizzle\n")
    assert "price lists" in shown
    assert main(["actors", "dev-9301", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "Paper Drizzle"
    assert main(["actors", "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["actors"]) == 5


def test_an_unknown_actor_is_an_error(sandbox: Sandbox, capsys: Out) -> None:
    assert main(["actors", "nobody\x1b[31m"]) == 1
    assert capsys.readouterr().err == "mdti: No intel profile has this title or alias.\n"


def test_status_is_an_error_when_something_fails(
    sandbox: Sandbox, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["status"]) == 0
    assert "ok       store" in capsys.readouterr().out
    monkeypatch.setenv("LOOKUP_DEPTH", "far")
    assert main(["status", "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["healthy"] is False


def test_a_wrong_setting_is_one_line_that_names_it(
    sandbox: Sandbox, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOKUP_DEPTH", "far")
    assert main(["lookup", SEED]) == 1
    shown = capsys.readouterr()
    assert re.fullmatch(r"mdti: .*LOOKUP_DEPTH.*\n", shown.err)
    assert shown.out == ""


def test_a_sandbox_beside_the_command_leaves_the_environment_and_real_state_alone(
    capsys: Out, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MDTI_STATE_DIR", str(tmp_path / "real"))
    monkeypatch.setenv("AzureWebJobsStorage", "not for the sandbox")
    before = dict(os.environ)
    assert main(["lookup", SEED, "--sandbox"]) == 0
    assert "Paper Drizzle" in capsys.readouterr().out
    assert dict(os.environ) == before
    assert not (tmp_path / "real").exists()


def test_the_result_goes_to_a_file_and_replacing_one_is_said(
    sandbox: Sandbox, tmp_path: Path, capsys: Out
) -> None:
    path = tmp_path / "report.html"
    assert main(["lookup", SEED, "--format", "html", "--output", str(path)]) == 0
    parsed_html(path.read_text(encoding="utf-8"))
    assert main(["lookup", SEED, "--format", "text", "--output", str(path)]) == 0
    parsed_text(path.read_text(encoding="utf-8"))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert [line.split()[0] for line in shown.err.splitlines()] == ["Wrote", "Replaced"]
    assert [found.name for found in tmp_path.iterdir() if found.is_file()] == ["report.html"]


def test_a_port_that_is_taken_is_one_line(sandbox: Sandbox, capsys: Out) -> None:
    assert main(["sandbox", "--port", sandbox.url.rpartition(":")[2]]) == 1
    assert capsys.readouterr().err == "mdti: The system says: Address already in use.\n"


def test_what_should_not_happen_is_one_line_without_a_traceback(
    sandbox: Sandbox, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdti.cli.read", lambda name: 1 / 0)
    assert main(["incident", "-"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("mdti: This should not happen: ZeroDivisionError. ")
    assert shown.count("\n") == 1


def test_help_lists_every_command_and_every_option(capsys: Out) -> None:
    assert main(["--help"]) == 0
    overview = capsys.readouterr().out
    commands = ("lookup", "incident", "actors", "status", "sandbox", "serve", "demo")
    for command in commands:
        assert re.search(rf"^    {command} ", overview, re.MULTILINE), command
    options = {
        "lookup": "IOC --file --depth --lookback-days --max-hosts --timeout --at --sandbox",
        "incident": "FILE --format --output --color --sandbox",
        "actors": "NAME --format --output --color --sandbox",
        "status": "--format --output --color --sandbox",
        "sandbox": "--port --latency --rate --json",
        "serve": "--port --sandbox",
        "demo": "--output --color",
    }
    for command, names in options.items():
        shown = _help(command, capsys)
        assert all(name in shown for name in names.split()), command
    assert all(name in _help("lookup", capsys) for name in REPORT_FORMATS)
    assert "{" + ",".join(LIST_FORMATS) + "}" in _help("status", capsys)


def test_every_option_is_explained() -> None:
    parser = command_line()
    choices = next(action.choices for action in parser._actions if action.dest == "command")
    assert isinstance(choices, dict)
    for command, below in choices.items():
        for action in below._actions:
            assert action.help, f"{command} {action.dest}"


def _help(command: str, capsys: Out) -> str:
    assert main([command, "--help"]) == 0
    return capsys.readouterr().out
