"""Stands for the Azure CLI: keeps a small tenant and records every call.

    with FakeAz(state) as az:
        az.install(folder)     # a command named az, which asks this process

It knows the commands and options that `grant.sh` and the documents use and refuses all others, as
the real one does. A text in the state's `refuse` makes every changing call that contains it fail; a
command in its `broken` always fails.
"""

import json
import socketserver
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import NAMESPACE_URL, uuid5

import jmespath

from tests.arm.deployment import Deployment, Resource
from tests.arm.scope import Surroundings
from tests.arm.template import BadTemplate

ROOT = Path(__file__).parents[2]
OUTPUT = {"--query", "--output"}
KNOWN: Mapping[tuple[str, ...], set[str]] = {
    ("account", "show"): set(),
    ("cloud", "show"): set(),
    ("group", "exists"): {"--name"},
    ("group", "create"): {"--name", "--location"},
    ("identity", "show"): {"--ids", "--resource-group", "--name"},
    ("identity", "create"): {"--resource-group", "--name", "--location"},
    ("ad", "sp", "show"): {"--id"},
    ("rest",): {"--method", "--url", "--headers", "--body"},
    ("role", "assignment", "list"): {"--assignee", "--role", "--scope", "--include-inherited"},
    ("role", "assignment", "create"): {
        "--assignee-object-id",
        "--assignee-principal-type",
        "--role",
        "--scope",
    },
    ("functionapp", "list"): {"--resource-group"},
    ("functionapp", "config", "appsettings", "set"): {"--resource-group", "--name", "--settings"},
    ("monitor", "log-analytics", "workspace", "show"): {"--resource-group", "--workspace-name"},
    ("resource", "list"): {"--resource-group", "--resource-type"},
    ("deployment", "group", "create"): {
        "--name",
        "--subscription",
        "--resource-group",
        "--template-file",
        "--parameters",
    },
}
CHANGES = {"create", "set"}
END = b"\x04"
BETWEEN = "\x1f"
CLIENT = """#!/usr/bin/env bash
exec 3<>/dev/tcp/127.0.0.1/{port}
printf '%s\\037' "$@" >&3
printf '\\004' >&3
read -r code <&3
read -r error <&3
[[ -z "$error" ]] || printf '%s\\n' "$error" >&2
cat <&3
exit "$code"
"""


class Refused(Exception):
    """The CLI answers with an error."""


class Az:
    """One call, on the state of the tenant."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def run(self, command: tuple[str, ...], options: Mapping[str, list[str]]) -> Any:
        """Return what the command prints before `--query` is applied."""
        if not self.state["signedIn"]:
            raise Refused("Please run 'az login' to setup account.")
        name = "_" + "_".join(command).replace("-", "_")
        work: Callable[[Mapping[str, list[str]]], Any] = getattr(self, name)
        return work(options)

    def _account_show(self, options: Mapping[str, list[str]]) -> Any:
        return {"id": self.state["subscription"]}

    def _cloud_show(self, options: Mapping[str, list[str]]) -> Any:
        return self.state["cloud"]

    def _group_exists(self, options: Mapping[str, list[str]]) -> Any:
        return options["--name"][0] in self.state["groups"]

    def _group_create(self, options: Mapping[str, list[str]]) -> Any:
        self.state["groups"].append(options["--name"][0])
        return {}

    def _identity_show(self, options: Mapping[str, list[str]]) -> Any:
        found = options.get("--ids") or [self._identity(options)]
        if found[0] not in self.state["identities"]:
            raise Refused("(ResourceNotFound)")
        return {"principalId": self.state["identities"][found[0]]}

    def _identity_create(self, options: Mapping[str, list[str]]) -> Any:
        if options["--resource-group"][0] not in self.state["groups"]:
            raise Refused("(ResourceGroupNotFound)")
        made = self._identity(options)
        principal = self.state["identities"].setdefault(made, str(uuid5(NAMESPACE_URL, made)))
        return {"principalId": principal}

    def _identity(self, options: Mapping[str, list[str]]) -> str:
        group, name = options["--resource-group"][0], options["--name"][0]
        return (
            f"/subscriptions/{self.state['subscription']}/resourceGroups/{group}/providers/"
            f"Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
        )

    def _ad_sp_show(self, options: Mapping[str, list[str]]) -> Any:
        try:
            return self.state["apis"][options["--id"][0]]
        except KeyError:
            raise Refused("Resource does not exist") from None

    def _role_assignment_list(self, options: Mapping[str, list[str]]) -> Any:
        principal, role, scope = (
            options[f"--{name}"][0].lower() for name in ("assignee", "role", "scope")
        )
        return [
            {"id": "/an/assignment"}
            for one in self.state["assignments"]
            if (one[0].lower(), one[1].lower()) == (principal, role)
            and scope.startswith(one[2].lower())
        ]

    def _role_assignment_create(self, options: Mapping[str, list[str]]) -> Any:
        names = ("assignee-object-id", "role", "scope")
        self.state["assignments"].append([options[f"--{name}"][0] for name in names])
        return {}

    def _functionapp_list(self, options: Mapping[str, list[str]]) -> Any:
        return self.state["sites"]

    def _functionapp_config_appsettings_set(self, options: Mapping[str, list[str]]) -> Any:
        self.state["settings"] |= dict(one.split("=", 1) for one in options["--settings"])
        return {}

    def _resource_list(self, options: Mapping[str, list[str]]) -> Any:
        return self.state["workflows"]

    def _monitor_log_analytics_workspace_show(self, options: Mapping[str, list[str]]) -> Any:
        group, name = options["--resource-group"][0], options["--workspace-name"][0]
        return {
            "id": f"/subscriptions/{self.state['subscription']}/resourceGroups/{group}/providers/"
            f"Microsoft.OperationalInsights/workspaces/{name}"
        }

    def _deployment_group_create(self, options: Mapping[str, list[str]]) -> Any:
        given = dict(one.split("=", 1) for one in options.get("--parameters", []))
        path = ROOT / options["--template-file"][0]
        template = json.loads(path.read_text("utf-8"))
        try:
            deployment = Deployment(
                template,
                given,
                surroundings=Surroundings(group=options["--resource-group"][0], tags=self._tags),
            )
        except BadTemplate as error:
            raise Refused(f"(InvalidTemplate) {error}") from None
        for one in deployment.everything():
            self._deploy(one)
        return {}

    @property
    def _tags(self) -> dict[str, str]:
        tags: dict[str, str] = self.state["sites"][0]["tags"] if self.state["sites"] else {}
        return tags

    def _deploy(self, one: Resource) -> None:
        if one.type == "Microsoft.ManagedIdentity/userAssignedIdentities":
            self.state["identities"].setdefault(one.id, str(uuid5(NAMESPACE_URL, one.id)))
        elif one.type == "Microsoft.Web/sites":
            self.state["sites"] = [{"name": one.name, "tags": one.body["tags"]}]
        elif one.type == "Microsoft.SecurityInsights/automationRules":
            workspace = one.body["scope"].rpartition("/")[2]
            rules = self.state["rules"].setdefault(workspace, [])
            rules.append({"id": one.name, "properties": one.body["properties"]})
        elif one.type == "Microsoft.Resources/deployments" and "templateLink" in str(one.body):
            folder = one.body["properties"]["templateLink"]["uri"].split("/logicapps/")[1]
            template = json.loads((ROOT / "logicapps" / folder).read_text("utf-8"))
            passed = one.body["properties"]["parameters"]
            values = {name: each["value"] for name, each in passed.items()}
            group = one.id.split("/")[4]
            nested = Deployment(template, values, surroundings=Surroundings(group=group))
            for each in nested.everything():
                self._deploy(each)
        elif one.type == "Microsoft.Logic/workflows":
            shown = {"id": one.id, **{key: one.body[key] for key in ("tags", "identity")}}
            state = {"state": one.body["properties"]["state"]}
            self.state["workflows"].append(shown | {"properties": state})

    def _rest(self, options: Mapping[str, list[str]]) -> Any:
        method, url = options["--method"][0], options["--url"][0].split("?")[0]
        graph = self.state["cloud"]["endpoints"]["microsoftGraphResourceId"]
        if url.startswith(f"{graph}v1.0/servicePrincipals/"):
            principal, _, end = url.rpartition("/servicePrincipals/")[2].partition("/")
            if end != "appRoleAssignments" or principal not in self.state["identities"].values():
                raise Refused("Not Found")
            return self._app_roles(method, principal, options)
        if url.endswith("/enable") and method == "post":
            for one in self.state["workflows"]:
                if url == f"{one['id']}/enable":
                    one["properties"]["state"] = "Enabled"
                    return None
        if url.endswith("/Microsoft.Logic/workflows") and method == "get":
            return {"value": self.state["workflows"]}
        if url.endswith("/Microsoft.SecurityInsights/automationRules") and method == "get":
            return {"value": self.state["rules"].get(url.split("/")[8], [])}
        raise Refused(f"Not Found: {method} {url}")

    def _app_roles(self, method: str, principal: str, options: Mapping[str, list[str]]) -> Any:
        held = self.state["grants"].setdefault(principal, [])
        if method == "get":
            return {"value": held}
        if self.state["lag"]:
            self.state["lag"] -= 1
            raise Refused("Resource does not exist or one of its queried references")
        body = json.loads(options["--body"][0])
        if body["principalId"] != principal or method != "post":
            raise Refused("Bad Request")
        held.append({"id": f"grant-{len(held)}", **body})
        return held[-1]


def parse(arguments: Sequence[str]) -> tuple[tuple[str, ...], dict[str, list[str]]]:
    """Return the command and its options; raise Refused for one that the CLI does not have."""
    words = [index for index, one in enumerate(arguments) if one.startswith("--")]
    first = words[0] if words else len(arguments)
    command = tuple(arguments[:first])
    if command not in KNOWN:
        raise Refused(f"'{' '.join(command)}' is misspelled or not recognized by the system.")
    options: dict[str, list[str]] = {}
    name = ""
    for one in arguments[first:]:
        if one.startswith("--"):
            name = one
            options[name] = []
        else:
            options[name].append(one)
    unknown = set(options) - KNOWN[command] - OUTPUT
    if unknown:
        raise Refused(f"unrecognized arguments: {sorted(unknown)}")
    return command, options


def shown(answer: Any) -> str:
    """Return an answer as `--output tsv` prints it."""
    rows = answer if isinstance(answer, list) else [] if answer is None else [answer]
    texts = [json.dumps(row) if isinstance(row, (bool, dict)) else str(row) for row in rows]
    return "".join(f"{text}\n" for text in texts)


class FakeAz:
    """The CLI with its tenant, asked over a port of this machine."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state
        self.calls: list[tuple[bool, list[str]]] = []
        fake = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                sent = b""
                while not sent.endswith(END):
                    sent += self.rfile.read(1)
                arguments = sent.removesuffix(END).decode("utf-8").split(BETWEEN)[:-1]
                code, error, output = fake.answer(arguments)
                self.wfile.write(f"{code}\n{error}\n{output}".encode())

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def install(self, folder: Path) -> None:
        """Write the command."""
        path = folder / "az"
        path.write_text(CLIENT.format(port=self._server.server_address[1]), "utf-8")
        path.chmod(0o755)

    def answer(self, arguments: list[str]) -> tuple[int, str, str]:
        """Return exit code, error and output of one call."""
        try:
            command, options = parse(arguments)
            change = bool(CHANGES & set(command)) or options.get("--method", ["get"]) != ["get"]
            self.calls.append((change, arguments))
            if change and any(text in " ".join(arguments) for text in self.state["refuse"]):
                raise Refused("Insufficient privileges to complete the operation.")
            if " ".join(command) in self.state["broken"]:
                raise Refused("(AuthorizationFailed)")
            found = Az(self.state).run(command, options)
        except Refused as refused:
            return 1, f"ERROR: {refused}", ""
        if "--query" in options:
            found = jmespath.search(options["--query"][0], found)
        return 0, "", shown(found)
