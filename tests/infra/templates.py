"""The templates of `infra/`, and ways to deploy them."""

from pathlib import Path
from typing import Any

from tests.arm.deployment import Deployment
from tests.arm.scope import Surroundings
from tests.arm.template import load

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
TEMPLATES = tuple(INFRA / name for name in ("azuredeploy.json", "upgrade.json", "playbooks.json"))
PLATFORM = INFRA / "azuredeploy.json"

SITE_TAGS = {"mdti-function-audience": "an-audience", "mdti-playbook-identity": "an-identity"}
"""What the playbooks' template reads from the function app."""

SETTINGS = "/appsettings"
AUTH = "/authsettingsV2"


def platform(cloud: str = "AzureCloud", **given: Any) -> Deployment:
    """Return the platform as a deployment with these parameters would make it."""
    return Deployment(load(PLATFORM), given, surroundings=Surroundings(cloud=cloud))


def app_settings(cloud: str = "AzureCloud", **given: Any) -> dict[str, str]:
    """Return the app settings that a deployment with these parameters would write."""
    made = platform(cloud, **given).one("Microsoft.Web/sites/config", SETTINGS)
    settings: dict[str, str] = made.body["properties"]
    return settings


def deployed(path: Path) -> list[Deployment]:
    """Return a template deployed with its defaults, and with everything that it offers."""
    template = load(path)
    surroundings = Surroundings(tags=SITE_TAGS)
    needed: dict[str, Any] = {} if path == PLATFORM else {"functionAppName": "contoso-mdti"}
    switches = {name: True for name, one in template["parameters"].items() if one["type"] == "bool"}
    full: dict[str, Any] = {**needed, **switches}
    if path == PLATFORM:
        full |= {
            name: f"https://{name.lower()}.example"
            for name, one in template["parameters"].items()
            if name.endswith("Url")
        }
        full |= {
            name: "a secret"
            for name, one in template["parameters"].items()
            if one["type"] == "securestring"
        }
        full |= {"alwaysReadyInstances": 1, "apiClientId": "an-app", "allowedCallers": ["x"]}
    return [Deployment(template, given, surroundings=surroundings) for given in (needed, full)]
