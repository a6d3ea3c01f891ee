import json
import re
import tomllib
from typing import Any

import pytest

from mdti.feeds.settings import FEED_SETTINGS
from mdti.jobs import LONGEST_RUN
from mdti.settings import SETTINGS
from tests.door.service import ROOT, load

IDENTITY = {
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
}
STORAGE = {
    "AzureWebJobsStorage",
    "AzureWebJobsStorage__accountName",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__queueServiceUri",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__clientId",
}
PLATFORM = {
    "FUNCTIONS_WORKER_RUNTIME",
    "PYTHON_THREADPOOL_THREAD_COUNT",
    "WEBSITE_AUTH_ENABLED",
    "WEBSITE_HOSTNAME",
}


def test_requirements_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert (ROOT / "requirements.txt").read_text().splitlines() == project["dependencies"]


def test_the_sample_settings_list_every_setting_with_its_default() -> None:
    values = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    ours = {setting.name: setting.default for setting in (*SETTINGS, *FEED_SETTINGS)}
    timers = {f"AzureWebJobs.{name}.Disabled" for name in of_type("timerTrigger")}

    assert set(values) == set(ours) | IDENTITY | STORAGE | PLATFORM | timers
    assert {name: values[name] for name in ours} == ours
    assert all(isinstance(value, str) for value in values.values())


def test_timers_are_off_in_the_sample_until_access_is_granted() -> None:
    values = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]

    timers = of_type("timerTrigger")
    assert {values[f"AzureWebJobs.{name}.Disabled"] for name in timers} == {"true"}


def test_a_job_cannot_outlive_the_time_after_which_it_counts_as_cut_off() -> None:
    hours, minutes, seconds = map(int, host()["functionTimeout"].split(":"))

    assert hours * 3600 + minutes * 60 + seconds < LONGEST_RUN.total_seconds()


def test_the_platform_serves_under_the_paths_of_the_contract() -> None:
    assert host()["extensions"]["http"]["routePrefix"] == "api"
    assert host()["version"] == "2.0"


@pytest.mark.parametrize("needed", ["function_app.py", "host.json", "requirements.txt"])
def test_what_the_app_needs_is_published(needed: str) -> None:
    assert not any(matches(pattern, needed) for pattern in ignored())


@pytest.mark.parametrize(
    "unneeded", ["tests", ".git", "docs", "infra", "logicapps", "local.settings.json", "tools"]
)
def test_what_the_app_does_not_need_is_not_published(unneeded: str) -> None:
    assert any(matches(pattern, unneeded) for pattern in ignored())


def test_nothing_but_the_command_line_and_the_demo_needs_the_sandbox() -> None:
    assert "mdti/sandbox/" in ignored()
    importing = re.compile(r"^(?:from|import) mdti\.sandbox\b", re.MULTILINE)
    found = {
        path.name for path in (ROOT / "mdti").glob("*.py") if importing.search(path.read_text())
    }

    assert found <= {"sandboxed.py", "demo.py", "cli.py"}


def of_type(kind: str) -> list[str]:
    functions = load().app.get_functions()
    return [f.get_function_name() for f in functions if f.get_trigger().type == kind]


def host() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "host.json").read_text())
    return found


def ignored() -> list[str]:
    lines = (ROOT / ".funcignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def matches(pattern: str, name: str) -> bool:
    glob = re.escape(pattern.rstrip("/")).replace(r"\*", ".*")
    return re.fullmatch(glob, name) is not None
