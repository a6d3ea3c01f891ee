"""Every setting: valid by default, named when it is wrong, read when needed and not before."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mdti.errors import SettingError
from mdti.setting import Setting
from mdti.settings import (
    GRAPH_ENDPOINT,
    KEY_VAULT_MARK,
    SETTINGS,
    SOVEREIGN_GRAPHS,
    GraphSettings,
    Settings,
    StorageSettings,
)

ROOT = Path(__file__).parent.parent
GUID = "5b1f8a30-0000-4000-8000-00000000000a"
WRONG = {
    "MDTI_ALLOWED_CALLERS": "everybody",
    "LEGACY_ROUTE": "perhaps",
    "GRAPH_ENDPOINT": "http://graph.microsoft.com",
    "GRAPH_API_VERSION": "v2",
    "GRAPH_BATCH": "some",
    "LOOKUP_DEPTH": "4",
    "LOOKUP_LOOKBACK_DAYS": "-1",
    "LOOKUP_MAX_HOSTS": "0",
    "LOOKUP_HUB_DEGREE": "1",
    "LOOKUP_OVERLAP_SLACK_DAYS": "a week",
    "LOOKUP_MAX_REQUESTS": "0",
    "LOOKUP_TIMEOUT_SECONDS": "601",
    "LOOKUP_CONCURRENCY": "129",
    "BRIEF_MODE": "think",
    "BRIEF_SEVERITY": "Critical",
    "BRIEF_STATUS": "Closed",
    "BRIEF_LOOKUP_HOST_ENTITIES": "2",
    "COPILOT_MAX_PROMPTS": "5",
    "COPILOT_REUSE_DAYS": "366",
    "SENTINEL_WORKSPACE_ID": "law-sec",
}
FREE = {"LOOKUP_ALLOWLIST", "LOOKUP_ACTOR_RULES", "BRIEF_TAG_PREFIX", "MDTI_STATE_DIR"}
"""Settings that take any text."""

NAMES = [setting.name for setting in SETTINGS]


@pytest.mark.parametrize("setting", SETTINGS, ids=NAMES)
def test_every_default_is_valid_and_every_form_is_told(setting: Setting[object]) -> None:
    assert Settings({}).get(setting) == Settings({setting.name: setting.default}).get(setting)
    assert Settings({setting.name: "  "}).get(setting) == Settings({}).get(setting)
    assert setting.form
    assert setting.about.endswith(".")


def test_no_two_settings_share_a_name() -> None:
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_named_with_what_it_should_be(name: str) -> None:
    setting = next(setting for setting in SETTINGS if setting.name == name)
    with pytest.raises(SettingError) as caught:
        Settings({name: WRONG[name]}).get(setting)
    assert caught.value.message == f"{name} must be {setting.form}, not '{WRONG[name]}'."
    assert caught.value.__cause__ is None


def test_every_setting_of_the_look_up_and_the_brief_has_its_fixed_name() -> None:
    assert set(NAMES) >= {*WRONG, *FREE}


def test_a_long_wrong_value_is_not_repeated() -> None:
    with pytest.raises(SettingError) as caught:
        Settings({"GRAPH_ENDPOINT": "s3cret" * 20}).get(GRAPH_ENDPOINT)
    assert "s3cret" not in caught.value.message


def test_an_unresolved_secret_is_named_and_never_passed_on() -> None:
    reference = f"{KEY_VAULT_MARK}SecretUri=https://vault/secrets/word)"
    chosen = Settings({"GRAPH_ENDPOINT": reference, "AzureWebJobsStorage": f" {reference}"})
    for read in (lambda: chosen.get(GRAPH_ENDPOINT), lambda: chosen.storage):
        with pytest.raises(SettingError, match="unresolved Key Vault reference") as caught:
            read()
        assert "vault/secrets" not in caught.value.message
        assert caught.value.hint


def test_settings_show_no_value() -> None:
    assert repr(Settings({"AzureWebJobsStorage": "AccountKey=s3cret"})) == "Settings(...)"


# --- groups ---------------------------------------------------------------------------------------


def test_the_defaults_are_those_of_the_documents() -> None:
    chosen = Settings({})
    assert chosen.graph == GraphSettings("https://graph.microsoft.com", "v1.0", batch=False)
    lookup = chosen.lookup
    assert (lookup.depth, lookup.lookback_days, lookup.max_hosts) == (2, 365, 250)
    assert (lookup.hub_degree, lookup.overlap_slack_days) == (100, 7)
    assert (lookup.max_requests, lookup.timeout_seconds, lookup.concurrency) == (300, 90, 32)
    assert (lookup.allowlist, lookup.actor_rules) == ("", ("Cyber Threat Intelligence",))
    brief = chosen.brief
    assert (brief.mode, brief.severity, brief.status) == ("act", "High", "Active")
    assert (brief.tag_prefix, brief.lookup_host_entities) == ("", False)
    assert (brief.max_prompts, brief.reuse_days, brief.workspace_id) == (3, 7, "")
    assert not chosen.storage.in_blobs


def test_each_group_reads_its_settings() -> None:
    chosen = Settings(
        {
            "GRAPH_BATCH": "on",
            "GRAPH_API_VERSION": "BETA",
            "LOOKUP_ACTOR_RULES": "One, Two",
            "BRIEF_MODE": "Observe",
            "BRIEF_SEVERITY": "medium",
            "BRIEF_STATUS": "KEEP",
            "BRIEF_TAG_PREFIX": "actor:",
            "SENTINEL_WORKSPACE_ID": GUID.upper(),
        }
    )
    assert (chosen.graph.batch, chosen.graph.version) == (True, "beta")
    assert chosen.lookup.actor_rules == ("One", "Two")
    brief = chosen.brief
    assert (brief.mode, brief.severity, brief.status) == ("observe", "Medium", "keep")
    assert (brief.tag_prefix, brief.workspace_id) == ("actor:", GUID)


@pytest.mark.parametrize("host", SOVEREIGN_GRAPHS)
def test_a_national_cloud_is_told_from_the_global_one(host: str) -> None:
    graph = Settings({"GRAPH_ENDPOINT": f"https://{host}/"}).graph
    assert graph.is_sovereign
    assert graph.audience == f"https://{host}/.default"
    assert graph.root == f"https://{host}/v1.0"
    assert not Settings({}).graph.is_sovereign


def test_a_stand_in_for_graph_takes_tokens_for_the_real_one() -> None:
    graph = Settings({"GRAPH_ENDPOINT": "http://127.0.0.1:9"}).graph
    assert graph.is_sandbox
    assert graph.audience == "https://graph.microsoft.com/.default"
    assert not Settings({}).graph.is_sandbox


@pytest.mark.parametrize(
    ("environment", "storage"),
    [
        ({}, StorageSettings("", "", "", "")),
        (
            {"AzureWebJobsStorage": "UseDevelopmentStorage=true", "MDTI_STATE_DIR": "state"},
            StorageSettings("UseDevelopmentStorage=true", "", "", "state"),
        ),
        (
            {"AzureWebJobsStorage__accountName": "acct", "AzureWebJobsStorage__clientId": "id"},
            StorageSettings("", "https://acct.blob.core.windows.net", "id", ""),
        ),
        (
            {
                "AzureWebJobsStorage__accountName": "acct",
                "AzureWebJobsStorage__blobServiceUri": "https://a.blob.core.usgovcloudapi.net/",
            },
            StorageSettings("", "https://a.blob.core.usgovcloudapi.net", "", ""),
        ),
    ],
)
def test_state_is_kept_in_blobs_when_an_account_is_named(
    environment: dict[str, str], storage: StorageSettings
) -> None:
    assert Settings(environment).storage == storage
    assert storage.in_blobs is bool(environment)


# --- where they are told --------------------------------------------------------------------------


def test_nothing_is_read_at_import() -> None:
    wrong = {**WRONG, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import mdti.settings, mdti.app"],
        env=wrong, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_the_sample_lists_every_setting_with_a_value_that_is_valid() -> None:
    sample = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    chosen = Settings(sample)
    for setting in SETTINGS:
        assert setting.name in sample
        chosen.get(setting)
