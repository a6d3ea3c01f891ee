"""Least privilege: this table says which identity may do what; template and script must agree."""

import pytest

from tests.arm.deployment import Deployment
from tests.arm.scope import guid
from tests.infra.templates import ROOT, platform

ROLES = {
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
}
"""Built-in roles of Azure by name (learn.microsoft.com/azure/role-based-access-control)."""

BY_TEMPLATE = {
    "mdti-app": {
        "Microsoft.Storage/storageAccounts": {
            "Storage Blob Data Owner",
            "Storage Queue Data Contributor",
        },
        "Microsoft.KeyVault/vaults": {"Key Vault Secrets User"},
        "Microsoft.Insights/components": {"Monitoring Metrics Publisher"},
    },
}
"""What the template gives: identity, kind of resource, roles. The playbooks' identity gets none."""


def given(deployment: Deployment) -> dict[str, dict[str, set[str]]]:
    """Return the roles that a deployment assigns, in the form of the table."""
    names = {role: name for name, role in ROLES.items()}
    group = deployment.surroundings.group_id
    identity = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
    owners = {
        guid("principal", f"{identity}/{name}"): name for name in ("mdti-app", "mdti-playbooks")
    }
    found: dict[str, dict[str, set[str]]] = {}
    for one in deployment.everything():
        if one.type != "Microsoft.Authorization/roleAssignments":
            continue
        properties = one.body["properties"]
        owner = owners[properties["principalId"]]
        kind = "/".join(one.body["scope"].split("/providers/")[1].split("/")[:2])
        role = names[properties["roleDefinitionId"].rpartition("/")[2]]
        found.setdefault(owner, {}).setdefault(kind, set()).add(role)
    return found


def test_the_template_gives_what_the_table_says_and_no_more() -> None:
    assert given(platform()) == BY_TEMPLATE


def test_no_playbook_gives_itself_a_role() -> None:
    for path in ROOT.glob("logicapps/*/azuredeploy*.json"):
        assert "Microsoft.Authorization" not in path.read_text("utf-8")


def test_an_assignment_is_named_by_its_principal_so_that_another_identity_does_not_collide() -> (
    None
):
    names = [
        {
            one.name
            for one in platform(appIdentityResourceId=identity).everything()
            if one.type == "Microsoft.Authorization/roleAssignments"
        }
        for identity in ("", f"{IDENTITIES}/one", f"{IDENTITIES}/two")
    ]
    assert all(len(each) == 4 for each in names)
    assert not names[0] & names[1]
    assert not names[1] & names[2]


IDENTITIES = (
    "/subscriptions/5a7d0b0e-0000-4000-8000-00000000c001/resourceGroups/rg-shared/providers/"
    "Microsoft.ManagedIdentity/userAssignedIdentities"
)


@pytest.mark.parametrize("kind", ["Microsoft.Web/sites", "Microsoft.Web/sites/extensions"])
def test_the_app_starts_and_gets_its_code_only_after_it_has_its_roles(kind: str) -> None:
    deployment = platform()
    (roles,) = [one for one in deployment.resources if one.name == "mdti-roles"]
    assert roles.id in deployment.one(kind).depends
