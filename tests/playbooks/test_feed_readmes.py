"""What the feed playbooks' READMEs promise: every setting of the documents, and one wording."""

import re

import pytest

from mdti.feeds.names import setting_names
from mdti.feeds.settings import CONNECTOR_NAMES
from tests.playbooks.definitions import LOGICAPPS
from tools.feed_playbooks import FEED_PLAYBOOKS

DOCUMENTS = {
    "mdti-to-anomali": """PlaybookName, APIauthorizationemail, AuthorizationKey, ClientIDMDTI,
        ClientSecretMDTI, ResourceGroup, ResourceName, Scoring, Subcription, TenantID""",
    "threatconnect-to-sentinel": """interval, frequency, API_ID, API_SECRET, owner, modified_since,
        types, Schema, Content, Switch, Case, action, activityGroupNames, confidence, description,
        expirationDateTime, externalId, killChain, malwareFamilyNames, severity, tags,
        targetProduct, threatType, tlpLevel, url, Authentication type, Tenant, Audience, Client ID,
        Credential Type, Secret""",
    "opencti-to-defender": """OPENCTI_URL, OPENCTI_TOKEN, CONNECTOR_ID, CONNECTOR_NAME,
        CONNECTOR_SCOPE, CONNECTOR_LOG_LEVEL, CONNECTOR_LIVE_STREAM_ID,
        CONNECTOR_LIVE_STREAM_LISTEN_DELETE, CONNECTOR_LIVE_STREAM_NO_DEPENDENCIES,
        MICROSOFT_DEFENDER_INTEL_TENANT_ID, MICROSOFT_DEFENDER_INTEL_CLIENT_ID,
        MICROSOFT_DEFENDER_INTEL_CLIENT_SECRET, MICROSOFT_DEFENDER_INTEL_LOGIN_URL,
        MICROSOFT_DEFENDER_INTEL_BASE_URL, MICROSOFT_DEFENDER_INTEL_RESOURCE_PATH,
        MICROSOFT_DEFENDER_INTEL_EXPIRE_TIME, MICROSOFT_DEFENDER_INTEL_ACTION,
        MICROSOFT_DEFENDER_INTEL_PASSIVE_ONLY""",
    "anyrun-to-defender": """functionAppName, anyrunBasicToken, azureClientId, azureClientSecret,
        azureTenantId, azureStorageAccountName, azureStorageConnectionString,
        logAnalyticsWorkspaceName, logicAppName, intervalRecurrence, feedFetchDepth,
        feed_fetch_depth""",
}
"""Every parameter that a document names, of its template and of what it has one type in."""

RETIRED = {
    "mdti-to-anomali": "ThreatIntelligenceIndicator",
    "threatconnect-to-sentinel": "tiIndicators",
    "opencti-to-defender": "No silent mode",
    "anyrun-to-defender": "`Audit` instead of `Allowed`",
}
every_feed = pytest.mark.parametrize("feed", [one.feed for one in FEED_PLAYBOOKS])


def readme(feed: str) -> str:
    return (LOGICAPPS / feed / "README.md").read_text("utf-8")


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@every_feed
def test_every_parameter_of_the_document_is_kept_renamed_or_gone(feed: str) -> None:
    table = section(readme(feed), "What changed since the document was written")
    rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("| `")]
    assert all(re.match(r" (kept|renamed: .+|gone)", fate) for _, fate, _ in rows)
    listed = {name for names, _, _ in rows for name in re.findall(r"`([^`]+)`", names)}
    assert set(re.split(r",\s+", DOCUMENTS[feed])) <= listed


@every_feed
def test_what_is_no_longer_possible_is_said(feed: str) -> None:
    assert RETIRED[feed] in section(readme(feed), "What changed since the document was written")


@every_feed
def test_the_settings_it_names_are_settings_that_the_feed_reads(feed: str) -> None:
    known = {*setting_names(feed), *CONNECTOR_NAMES}
    steps = section(readme(feed), "After you deploy")
    rows = [line.split("|")[1] for line in steps.splitlines() if line.startswith("   | `")]
    named = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    assert named
    assert named <= known, named - known


def test_the_readmes_are_alike_where_the_playbooks_are() -> None:
    symptoms = []
    for playbook in FEED_PLAYBOOKS:
        text = readme(playbook.feed)
        titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert titles == [
            "Before you deploy",
            "Deploy",
            "After you deploy",
            "Test it",
            "Where to see the result",
            "Troubleshoot",
            "What changed since the document was written",
        ]
        rows = section(text, "Troubleshoot").split("\n| ")[3:12]
        symptoms.append([row.split(" | ")[0] for row in rows])
    assert symptoms == [symptoms[0]] * len(symptoms)
