import json
import re
from functools import cache
from inspect import signature
from typing import Any

import pytest

import function_app
from mdti.feeds.settings import FEED_SETTINGS
from mdti.settings import SETTINGS
from mdti.store.blob import BlobStore
from tests.arm.deployment import Deployment
from tests.arm.scope import guid
from tests.arm.template import BadTemplate, load
from tests.door.service import load as load_app
from tests.infra.templates import AUTH, PLATFORM, ROOT, app_settings, platform
from tests.infra.templates import SETTINGS as APP_SETTINGS

PLATFORM_SETTINGS = {
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AZURE_CLIENT_ID",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__queueServiceUri",
    "PYTHON_THREADPOOL_THREAD_COUNT",
}
"""Settings of Azure Functions itself and of azure-identity."""

BY_HAND = {"TAXII_PASSWORD", "TAXII_TOKEN", "THREATCONNECT_TOKEN"}
"""Secrets without a parameter: docs/deploy.md says how they are kept."""

SECRETS = {
    "threatStreamApiKey": ("threatStreamUrl", "THREATSTREAM_API_KEY", "threatstream-api-key"),
    "threatConnectSecretKey": (
        "threatConnectUrl",
        "THREATCONNECT_SECRET_KEY",
        "threatconnect-secret-key",
    ),
    "openCtiToken": ("openCtiUrl", "OPENCTI_TOKEN", "opencti-token"),
    "anyRunToken": ("anyRunTaxiiUrl", "ANYRUN_TOKEN", "anyrun-token"),
}
URLS = {url: f"https://{url.lower()}.example" for url, _, _ in SECRETS.values()}
CALLER = "7c9e2f3a-0000-4000-8000-00000000a001"


def auth(**given: Any) -> dict[str, Any]:
    made = platform(**given).one("Microsoft.Web/sites/config", AUTH)
    properties: dict[str, Any] = made.body["properties"]
    return properties


def entra(settings: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = settings["identityProviders"]["azureActiveDirectory"]
    return found


def principal(deployment: Deployment) -> str:
    return guid("principal", deployment.outputs["playbookIdentityResourceId"])


def test_nothing_has_to_be_filled_in() -> None:
    assert all("defaultValue" in one for one in load(PLATFORM)["parameters"].values())


def test_every_setting_is_one_that_somebody_reads() -> None:
    known = {setting.name for setting in (*SETTINGS, *FEED_SETTINGS)} | PLATFORM_SETTINGS
    known |= {f"AzureWebJobs.{name}.Disabled" for name in timers()}
    written = set(app_settings(**URLS))
    assert written <= known
    assert written >= PLATFORM_SETTINGS


def test_every_secret_that_a_feed_reads_is_kept_in_the_vault() -> None:
    secrets = {setting.name for setting in FEED_SETTINGS if setting.about.endswith("a secret.")}
    kept = {name for name, value in app_settings(**URLS).items() if "KeyVault" in value}
    assert kept == secrets - BY_HAND
    assert secrets >= BY_HAND


def test_the_sample_of_local_settings_knows_every_platform_setting() -> None:
    sample = json.loads((ROOT / "local.settings.sample.json").read_text("utf-8"))["Values"]
    logs = {name for name in PLATFORM_SETTINGS if name.startswith("APPLICATIONINSIGHTS")}
    assert set(sample) >= PLATFORM_SETTINGS - logs


@pytest.mark.parametrize("setting", sorted(setting.name for setting in (*SETTINGS, *FEED_SETTINGS)))
def test_any_setting_can_be_given_and_survives_a_redeployment(setting: str) -> None:
    assert app_settings(extraSettings={setting: "chosen"})[setting] == "chosen"


@cache
def timers() -> frozenset[str]:
    return frozenset(
        str(function.get_function_name())
        for function in load_app().app.get_functions()
        if any(binding.type == "timerTrigger" for binding in function.get_bindings())
    )


def test_every_timer_is_off_until_it_is_wanted() -> None:
    def switches(**given: Any) -> dict[str, str]:
        return {key: one for key, one in app_settings(**given).items() if key.endswith("Disabled")}

    names = timers()
    assert switches() == {f"AzureWebJobs.{name}.Disabled": "true" for name in names}
    assert set(switches(enabledTimers=sorted(names)).values()) == {"false"}


def test_the_platform_sends_no_more_requests_to_an_instance_than_it_has_threads() -> None:
    host = json.loads((ROOT / "host.json").read_text("utf-8"))
    site = platform().one("Microsoft.Web/sites").body["properties"]["functionAppConfig"]
    concurrency = host["extensions"]["http"]["maxConcurrentRequests"]
    assert app_settings()["PYTHON_THREADPOOL_THREAD_COUNT"] == str(concurrency)
    triggers = site["scaleAndConcurrency"]["triggers"]
    assert triggers == {"http": {"perInstanceConcurrency": concurrency}}


def test_few_instances_run_at_once_and_none_is_kept_warm_unless_asked_for() -> None:
    def scale(**given: Any) -> dict[str, Any]:
        body = platform(**given).one("Microsoft.Web/sites").body
        found: dict[str, Any] = body["properties"]["functionAppConfig"]["scaleAndConcurrency"]
        return found

    assert scale()["maximumInstanceCount"] <= 5
    assert scale()["alwaysReady"] == []
    assert scale(alwaysReadyInstances=2)["alwaysReady"] == [{"name": "http", "instanceCount": 2}]


def test_storage_has_no_keys_and_holds_what_the_app_uses() -> None:
    deployment = platform()
    account = deployment.one("Microsoft.Storage/storageAccounts").body["properties"]
    assert account["allowSharedKeyAccess"] is False
    assert account["allowBlobPublicAccess"] is False
    assert deployment.one(
        "Microsoft.Storage/storageAccounts/queueServices/queues", f"/{function_app.QUEUE}"
    )
    state = signature(BlobStore.from_identity).parameters["container"].default
    assert deployment.one("Microsoft.Storage/storageAccounts/blobServices/containers", f"/{state}")
    settings = app_settings()
    assert function_app.STORAGE not in settings
    assert settings["AzureWebJobsStorage__clientId"] == settings["AZURE_CLIENT_ID"]


def test_logs_are_sent_by_identity_and_have_a_daily_cap() -> None:
    deployment = platform(logDailyCapGb=3)
    settings = app_settings()
    assert settings["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"] == (
        f"ClientId={settings['AZURE_CLIENT_ID']};Authorization=AAD"
    )
    component = deployment.one("Microsoft.Insights/components").body["properties"]
    assert component["DisableLocalAuth"] is True
    workspace = deployment.one("Microsoft.OperationalInsights/workspaces")
    assert component["WorkspaceResourceId"] == workspace.id
    assert workspace.body["properties"]["workspaceCapping"] == {"dailyQuotaGb": 3}


@pytest.mark.parametrize("given", [{}, {"apiClientId": "an-app"}, {"legacyRoute": True}])
def test_callers_are_always_a_list_of_principals_that_the_code_checks_again(
    given: dict[str, Any],
) -> None:
    for more in ([], [CALLER]):
        deployment = platform(**given, allowedCallers=more)
        allowed = entra(auth(**given, allowedCallers=more))["validation"][
            "defaultAuthorizationPolicy"
        ]["allowedPrincipals"]["identities"]
        assert allowed == [principal(deployment), *more]
        settings = app_settings(**given, allowedCallers=more)
        assert settings["MDTI_ALLOWED_CALLERS"] == ",".join(allowed)


def test_without_a_registration_tokens_for_the_resource_manager_are_taken() -> None:
    deployment = platform()
    provider = entra(auth())
    assert provider["registration"]["clientId"] == guid(
        deployment.outputs["playbookIdentityResourceId"]
    )
    assert provider["registration"]["openIdIssuer"].startswith("https://sts.windows.net/")
    audience = deployment.outputs["functionAudience"]
    assert audience == "https://management.azure.com/"
    assert provider["validation"]["allowedAudiences"] == [audience, audience.rstrip("/")]


def test_with_a_registration_only_tokens_for_it_are_taken() -> None:
    for given, audience in (({}, "api://an-app"), ({"apiAudience": "api://own"}, "api://own")):
        deployment = platform(apiClientId="an-app", **given)
        provider = entra(auth(apiClientId="an-app", **given))
        assert provider["registration"]["clientId"] == "an-app"
        assert provider["registration"]["openIdIssuer"].endswith("/v2.0")
        assert provider["validation"]["allowedAudiences"] == [audience, "an-app"]
        assert deployment.outputs["functionAudience"] == audience


def test_only_the_pulse_is_open_and_the_old_route_when_it_is_offered() -> None:
    def open_paths(**given: Any) -> list[str]:
        validation = auth(**given)["globalValidation"]
        assert validation["requireAuthentication"] is True
        assert validation["unauthenticatedClientAction"] == "Return401"
        found: list[str] = validation["excludedPaths"]
        return found

    assert open_paths() == ["/api/health"]
    assert open_paths(legacyRoute=True) == ["/api/health", "/api/MDTIActor"]


def test_the_code_comes_last_after_authentication_settings_roles_and_storage() -> None:
    deployment = platform()
    code = deployment.one("Microsoft.Web/sites/extensions", "/onedeploy")
    for other in (
        deployment.one("Microsoft.Web/sites/config", AUTH),
        deployment.one("Microsoft.Web/sites/config", APP_SETTINGS),
        deployment.one("Microsoft.Resources/deployments"),
        deployment.one("Microsoft.Storage/storageAccounts/blobServices/containers", "/package"),
    ):
        assert other.id in code.depends
    assert code.body["properties"]["remoteBuild"] is True


def test_without_a_package_no_code_is_deployed() -> None:
    kinds = {one.type for one in platform(packageUri="").resources}
    assert "Microsoft.Web/sites" in kinds
    assert "Microsoft.Web/sites/extensions" not in kinds


@pytest.mark.parametrize("parameter", sorted(SECRETS))
def test_a_secret_goes_into_the_vault_and_the_setting_only_refers_to_it(parameter: str) -> None:
    url, setting, name = SECRETS[parameter]
    given = {url: URLS[url], parameter: "s3cret"}
    deployment = platform(**given)
    vault = deployment.outputs["keyVaultName"]
    secret = deployment.one("Microsoft.KeyVault/vaults/secrets", f"/{name}")
    assert secret.body["properties"]["value"] == "s3cret"
    assert app_settings(**given)[setting] == (
        f"@Microsoft.KeyVault(SecretUri=https://{vault}.vault.azure.net/secrets/{name})"
    )
    everything = [one.body for one in deployment.everything() if one.id != secret.id]
    assert "s3cret" not in json.dumps([everything, deployment.outputs])
    settings = deployment.one("Microsoft.Web/sites/config", APP_SETTINGS)
    assert secret.id in settings.depends


def test_an_empty_secret_writes_nothing_and_takes_no_reference_away() -> None:
    assert not [one for one in platform(**URLS).resources if one.type.endswith("vaults/secrets")]
    again, first = app_settings(**URLS), app_settings(**URLS, **dict.fromkeys(SECRETS, "s3cret"))
    assert again == first


def test_a_third_party_that_is_left_out_leaves_no_setting_behind() -> None:
    settings = app_settings()
    assert not [name for name in settings if "KeyVault" in settings[name]]
    assert not {setting for _, setting, _ in SECRETS.values()} & set(settings)


def test_references_are_resolved_by_the_apps_own_identity() -> None:
    deployment = platform()
    site = deployment.one("Microsoft.Web/sites").body
    identity = deployment.outputs["appIdentityResourceId"]
    assert site["properties"]["keyVaultReferenceIdentity"] == identity
    assert site["identity"]["userAssignedIdentities"] == {identity: {}}


def test_existing_identities_are_taken_and_none_is_made() -> None:
    ids = {
        f"{one}IdentityResourceId": "/subscriptions/s/resourceGroups/g/providers/"
        f"Microsoft.ManagedIdentity/userAssignedIdentities/{one}"
        for one in ("app", "playbook")
    }
    deployment = platform(**ids)
    assert not [one for one in deployment.resources if "ManagedIdentity" in one.type]
    assert {name: deployment.outputs[name] for name in ids} == ids


def test_the_playbooks_find_the_app_by_its_tags() -> None:
    deployment = platform(tags={"owner": "soc"})
    tags = deployment.one("Microsoft.Web/sites").body["tags"]
    assert tags["mdti-function-audience"] == deployment.outputs["functionAudience"]
    assert tags["mdti-playbook-identity"] == deployment.outputs["playbookIdentityResourceId"]
    assert (tags["owner"], tags["azd-service-name"]) == ("soc", "api")


def test_in_the_us_government_cloud_every_address_is_its_own() -> None:
    settings = app_settings("AzureUSGovernment", **URLS)
    addresses = [value for name, value in settings.items() if name not in {"THREATSTREAM_URL"}]
    text = json.dumps([addresses, auth_of_government()])
    for public in ("azure.com", "windows.net", "microsoft.com", "vault.azure.net"):
        assert public not in text
    assert settings["GRAPH_ENDPOINT"] == "https://graph.microsoft.us"


def auth_of_government() -> dict[str, Any]:
    made = platform("AzureUSGovernment").one("Microsoft.Web/sites/config", AUTH)
    properties: dict[str, Any] = made.body["properties"]
    return properties


def test_where_sentinel_is_gone_the_template_refuses() -> None:
    with pytest.raises(BadTemplate, match="AzureChinaCloud"):
        platform("AzureChinaCloud")


@pytest.mark.parametrize("prefix", ["a", "ten-letters"])
def test_a_prefix_that_makes_names_too_long_is_refused(prefix: str) -> None:
    with pytest.raises(BadTemplate, match="namePrefix"):
        platform(namePrefix=prefix)


@pytest.mark.parametrize("prefix", ["ab", "MDTI", "soc-mdti1", "a-b-c-d-e"])
def test_names_fit_the_rules_of_their_services(prefix: str) -> None:
    names = {one.type: one.name for one in platform(namePrefix=prefix).resources}
    assert re.fullmatch("[a-z0-9]{3,24}", names["Microsoft.Storage/storageAccounts"])
    assert re.fullmatch("[a-z][a-z0-9]{2,23}", names["Microsoft.KeyVault/vaults"])
    assert re.fullmatch("[a-z0-9][a-z0-9-]{0,58}[a-z0-9]", names["Microsoft.Web/sites"])


def test_a_redeployment_makes_the_same_names() -> None:
    assert [one.id for one in platform().everything()] == [
        one.id for one in platform().everything()
    ]


def test_the_upgrade_touches_the_code_alone() -> None:
    template = load(PLATFORM.with_name("upgrade.json"))
    (only,) = template["resources"]
    (code,) = [one for one in load(PLATFORM)["resources"] if one["type"] == only["type"]]
    assert only["properties"] == code["properties"]
    assert only["apiVersion"] == code["apiVersion"]
