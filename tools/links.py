"""Write the project's public address into everything that needs it.

    python -m tools.links            write buttons and defaults
    python -m tools.links --check    exit 1 when one of them is not what would be written

The address is kept in `infra/address.json` alone. A button stands in a Markdown file between
`<!-- button: infra/azuredeploy.json infra/createUiDefinition.json -->` and `<!-- /button -->`, the
second name only where the form has a definition of its own.
"""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tools.writing import write_or_check

ROOT = Path(__file__).parents[1]
ADDRESS = Path("infra/address.json")
PORTALS = {
    "Azure": ("https://portal.azure.com", "https://aka.ms/deploytoazurebutton"),
    "Azure US Gov": ("https://portal.azure.us", "https://aka.ms/deploytoazuregovbutton"),
}
DEFAULTS = {
    Path("infra/azuredeploy.json"): ("packageUri", "package"),
    Path("infra/upgrade.json"): ("packageUri", "package"),
    Path("infra/playbooks.json"): ("templateBaseUri", "raw"),
}
"""Which parameter of a template has which address for its default."""

_BUTTON = re.compile(r"(<!-- button: (\S+)(?: (\S+))? -->\n).*?(<!-- /button -->)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the published project is: `raw` the files as such, `package` the app's zip."""

    raw: str
    package: str


def read_address(root: Path = ROOT) -> Address:
    """Return the one address that there is."""
    given = json.loads((root / ADDRESS).read_text("utf-8"))
    return Address(raw=given["raw"].rstrip("/"), package=given["package"])


def button(address: Address, template: str, form: str | None = None) -> str:
    """Return the Markdown of the buttons that deploy a template, one for each cloud."""
    path = quote(f"{address.raw}/{template}", safe="")
    if form:
        path += f"/createUIDefinitionUri/{quote(f'{address.raw}/{form}', safe='')}"
    return "\n".join(
        f"[![Deploy to {cloud}]({image})]({portal}/#create/Microsoft.Template/uri/{path})"
        for cloud, (portal, image) in PORTALS.items()
    )


def made_files(address: Address, root: Path = ROOT) -> dict[Path, str]:
    """Return every file that holds the address, and what it should hold."""
    made = {}
    pages = [*root.glob("*.md"), *root.glob("docs/*.md"), *root.glob("logicapps/*/*.md")]
    for path in sorted(pages):
        text = path.read_text("utf-8")
        if _BUTTON.search(text):
            made[path] = _BUTTON.sub(
                lambda match: f"{match[1]}{button(address, match[2], match[3])}\n{match[4]}", text
            )
    for name, (parameter, kind) in DEFAULTS.items():
        default = re.compile(
            rf'(?<="{parameter}": {{\n      "type": "string",\n      "defaultValue": )"[^"]*"'
        )
        value = json.dumps(getattr(address, kind)).replace("\\", r"\\")
        made[root / name] = default.sub(value, (root / name).read_text("utf-8"), count=1)
    return made


def main() -> int:
    """Write the files, or with `--check` compare them; return the exit code."""
    return write_or_check("tools.links", __doc__, lambda: made_files(read_address()))


if __name__ == "__main__":
    sys.exit(main())
