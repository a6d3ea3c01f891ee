"""What the resources of our templates look like: names, types and values of their properties.

Microsoft publishes JSON schemas for this (Azure/azure-resource-manager-schemas), which a test run
cannot fetch. So the few shapes that our templates use are written down here as far as they use
them, with the place where Microsoft describes them. A property that is not listed is refused: a
typing error in a template is found, and a property that is added to one is added here as well.

A key that ends with `?` may be absent. A set is a choice, a list of one shape is an array of it, a
mapping with the key `*` has names of the deployer's choice.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

Shape = Any
ANY = object

_TAGS = {"*": str}
_IDENTITY = {"type": {"UserAssigned"}, "userAssignedIdentities": {"*": {}}}

SHAPES: Mapping[str, tuple[str, Shape]] = MappingProxyType(
    {
        # microsoft.managedidentity/2024-11-30/userassignedidentities
        "Microsoft.ManagedIdentity/userAssignedIdentities": (
            "2024-11-30",
            {"location": str, "tags": _TAGS, "properties": {}},
        ),
        # microsoft.storage/2025-01-01/storageaccounts
        "Microsoft.Storage/storageAccounts": (
            "2025-01-01",
            {
                "location": str,
                "tags": _TAGS,
                "kind": {"StorageV2"},
                "sku": {"name": {"Standard_LRS", "Standard_ZRS", "Standard_GRS"}},
                "properties": {
                    "accessTier": {"Hot", "Cool"},
                    "allowBlobPublicAccess": bool,
                    "allowCrossTenantReplication": bool,
                    "allowSharedKeyAccess": bool,
                    "defaultToOAuthAuthentication": bool,
                    "minimumTlsVersion": {"TLS1_2", "TLS1_3"},
                    "networkAcls": {
                        "bypass": {"AzureServices", "None"},
                        "defaultAction": {"Allow", "Deny"},
                    },
                    "publicNetworkAccess": {"Enabled", "Disabled"},
                    "supportsHttpsTrafficOnly": bool,
                },
            },
        ),
        "Microsoft.Storage/storageAccounts/blobServices": (
            "2025-01-01",
            {"properties": {"deleteRetentionPolicy": {"enabled": bool, "days": int}}},
        ),
        "Microsoft.Storage/storageAccounts/blobServices/containers": (
            "2025-01-01",
            {"properties": {"publicAccess": {"None", "Blob", "Container"}}},
        ),
        "Microsoft.Storage/storageAccounts/queueServices": ("2025-01-01", {"properties": {}}),
        "Microsoft.Storage/storageAccounts/queueServices/queues": (
            "2025-01-01",
            {"properties": {}},
        ),
        # microsoft.keyvault/2024-11-01/vaults
        "Microsoft.KeyVault/vaults": (
            "2024-11-01",
            {
                "location": str,
                "tags": _TAGS,
                "properties": {
                    "tenantId": str,
                    "sku": {"family": {"A"}, "name": {"standard", "premium"}},
                    "enableRbacAuthorization": bool,
                    "enableSoftDelete": bool,
                    "softDeleteRetentionInDays": int,
                    "enablePurgeProtection": {True, None},
                    "publicNetworkAccess": {"Enabled", "Disabled"},
                },
            },
        ),
        "Microsoft.KeyVault/vaults/secrets": (
            "2024-11-01",
            {"properties": {"contentType": str, "value": str}},
        ),
        # microsoft.operationalinsights/2025-02-01/workspaces
        "Microsoft.OperationalInsights/workspaces": (
            "2025-02-01",
            {
                "location": str,
                "tags": _TAGS,
                "properties": {
                    "sku": {"name": {"PerGB2018"}},
                    "retentionInDays": int,
                    "workspaceCapping": {"dailyQuotaGb": int},
                },
            },
        ),
        # microsoft.insights/2020-02-02/components
        "Microsoft.Insights/components": (
            "2020-02-02",
            {
                "location": str,
                "tags": _TAGS,
                "kind": {"web"},
                "properties": {
                    "Application_Type": {"web"},
                    "DisableLocalAuth": bool,
                    "WorkspaceResourceId": str,
                },
            },
        ),
        # microsoft.authorization/2022-04-01/roleassignments
        "Microsoft.Authorization/roleAssignments": (
            "2022-04-01",
            {
                "scope": str,
                "properties": {
                    "description": str,
                    "roleDefinitionId": str,
                    "principalId": str,
                    "principalType": {"ServicePrincipal"},
                },
            },
        ),
        # microsoft.web/2024-11-01/serverfarms
        "Microsoft.Web/serverfarms": (
            "2024-11-01",
            {
                "location": str,
                "tags": _TAGS,
                "kind": {"functionapp"},
                "sku": {"name": {"FC1"}, "tier": {"FlexConsumption"}},
                "properties": {"reserved": {True}},
            },
        ),
        # microsoft.web/2024-11-01/sites, of the plan Flex Consumption
        "Microsoft.Web/sites": (
            "2024-11-01",
            {
                "location": str,
                "tags": _TAGS,
                "kind": {"functionapp,linux"},
                "identity": _IDENTITY,
                "properties": {
                    "serverFarmId": str,
                    "httpsOnly": bool,
                    "keyVaultReferenceIdentity": str,
                    "publicNetworkAccess": {"Enabled", "Disabled"},
                    "siteConfig": {"minTlsVersion": {"1.2", "1.3"}},
                    "functionAppConfig": {
                        "deployment": {
                            "storage": {
                                "type": {"blobContainer"},
                                "value": str,
                                "authentication": {
                                    "type": {"UserAssignedIdentity"},
                                    "userAssignedIdentityResourceId": str,
                                },
                            }
                        },
                        "runtime": {"name": {"python"}, "version": {"3.11", "3.12", "3.13"}},
                        "scaleAndConcurrency": {
                            "instanceMemoryMB": {512, 2048, 4096},
                            "maximumInstanceCount": int,
                            "alwaysReady": [{"name": str, "instanceCount": int}],
                            "triggers": {"http": {"perInstanceConcurrency": int}},
                        },
                    },
                },
            },
        ),
        "Microsoft.Web/sites/basicPublishingCredentialsPolicies": (
            "2024-11-01",
            {"properties": {"allow": bool}},
        ),
        "Microsoft.Web/sites/config/appsettings": ("2024-11-01", {"properties": {"*": str}}),
        "Microsoft.Web/sites/config/authsettingsV2": (
            "2024-11-01",
            {
                "properties": {
                    "platform": {"enabled": bool, "runtimeVersion": {"~1"}},
                    "globalValidation": {
                        "requireAuthentication": bool,
                        "unauthenticatedClientAction": {"Return401", "Return403"},
                        "excludedPaths": [str],
                    },
                    "httpSettings": {"requireHttps": bool},
                    "identityProviders": {
                        "azureActiveDirectory": {
                            "enabled": bool,
                            "registration": {"clientId": str, "openIdIssuer": str},
                            "validation": {
                                "allowedAudiences": [str],
                                "defaultAuthorizationPolicy": {
                                    "allowedPrincipals": {"identities": [str]}
                                },
                            },
                        }
                    },
                    "login": {"tokenStore": {"enabled": bool}},
                }
            },
        ),
        # azure-functions/functions-infrastructure-as-code: onedeploy, Flex Consumption
        "Microsoft.Web/sites/extensions": (
            "2024-11-01",
            {"properties": {"packageUri": str, "remoteBuild": bool}},
        ),
        # microsoft.resources/2022-09-01/deployments
        "Microsoft.Resources/deployments": (
            "2022-09-01",
            {
                "properties": {
                    "mode": {"Incremental"},
                    "expressionEvaluationOptions?": {"scope": {"inner"}},
                    "templateLink?": {"uri": str, "contentVersion": str},
                    "parameters": {"*": {"value": ANY}},
                }
            },
        ),
    }
)
"""Shapes by type; paths in the comments are below learn.microsoft.com/azure/templates."""

_OF_ARM = frozenset({"type", "apiVersion", "name", "dependsOn", "condition"})


def faults(body: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a resource whose expressions are replaced."""
    kind, name = body["type"], body["name"]
    if kind == "Microsoft.Web/sites/config":
        kind += f"/{name.rpartition('/')[2]}"
    if kind not in SHAPES:
        return [f"{kind} is not described"]
    version, shape = SHAPES[kind]
    found = [] if body["apiVersion"] == version else [f"{kind}: apiVersion is not {version}"]
    shown = {key: value for key, value in body.items() if key not in _OF_ARM}
    return found + _faults(shape, shown, kind)


def _faults(shape: Shape, value: Any, where: str) -> list[str]:
    if isinstance(shape, (set, frozenset)):
        return (
            [] if value in shape else [f"{where}: {value!r} is none of {sorted(map(str, shape))}"]
        )
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{where} is no array"]
        return [one for item in value for one in _faults(shape[0], item, f"{where}[]")]
    if isinstance(shape, type):
        wrong = not isinstance(value, shape) or (shape is int and isinstance(value, bool))
        return [f"{where} is no {shape.__name__}"] if wrong else []
    if not isinstance(value, Mapping):
        return [f"{where} is no object"]
    named = {key.rstrip("?"): one for key, one in shape.items() if key != "*"}
    missing = [key for key in shape if not key.endswith(("?", "*")) and key not in value]
    found = [f"{where}.{key} is missing" for key in missing]
    for key, one in value.items():
        if key not in named and "*" not in shape:
            found.append(f"{where}.{key} is not known")
            continue
        found += _faults(named.get(key, shape.get("*")), one, f"{where}.{key}")
    return found
