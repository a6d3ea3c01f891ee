"""The process that hosts Microsoft's Logic Apps engine: JSON lines in, JSON lines out.

It runs in a process of its own because .NET Core 3.1 must find OpenSSL 1.1 on `LD_LIBRARY_PATH`
when the process starts. `tests.playbooks.engine` starts it and documents the operations.
"""

import importlib
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

_RUNTIME = {
    "runtimeOptions": {
        "tfm": "netcoreapp3.1",
        "framework": {"name": "Microsoft.NETCore.App", "version": "3.1.0"},
    }
}
_LANGUAGE = "2016-06-01"
_TEMPLATES = "Microsoft.Azure.Workflows.Templates"


class Host:
    """The engine's assemblies, loaded once."""

    def __init__(self) -> None:
        self._load_runtime()
        self._system = importlib.import_module("System")
        self._json = importlib.import_module("Newtonsoft.Json")
        self._linq = importlib.import_module("Newtonsoft.Json.Linq")
        self._engines = importlib.import_module(f"{_TEMPLATES}.Engines")
        self._expressions = importlib.import_module(f"{_TEMPLATES}.Expressions")
        self._helpers = importlib.import_module(f"{_TEMPLATES}.Helpers")
        self._schema = importlib.import_module(f"{_TEMPLATES}.Schema")
        self._validations = importlib.import_module("Microsoft.Azure.Workflows.Data.Validations")
        self._collections = importlib.import_module(
            "Microsoft.WindowsAzure.ResourceStack.Common.Collections"
        )

        instrumentation = importlib.import_module(
            "Microsoft.WindowsAzure.ResourceStack.Common.Instrumentation"
        )
        # Without the version of the definition language the engine knows the oldest one only.
        instrumentation.RequestCorrelationContext.Current.ContentVersion = _LANGUAGE

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request; the engine's refusal is `{"error": message}`."""
        operations: dict[str, Callable[[dict[str, Any]], Any]] = {
            "validate": self._validate,
            "evaluate": self._evaluate,
            "calls": self._calls,
        }
        try:
            return {"value": operations[request["op"]](request)}
        except self._system.Exception as error:
            return {"error": str(error.Message)}

    def _load_runtime(self) -> None:
        dotnet = _package("dotnetcore2") / "bin"
        with tempfile.TemporaryDirectory() as scratch:
            config = Path(scratch) / "runtimeconfig.json"
            config.write_text(json.dumps(_RUNTIME), encoding="utf-8")
            importlib.import_module("pythonnet").load(
                "coreclr", runtime_config=str(config), dotnet_root=str(dotnet)
            )
        assemblies = _package("data_factory_testing_framework") / "_pythonnet" / "bin"
        sys.path.append(str(assemblies))
        clr = importlib.import_module("clr")
        for path in sorted(assemblies.glob("Microsoft.*.dll")):
            clr.AddReference(path.stem)
        clr.AddReference("Newtonsoft.Json")

    def _token(self, value: Any) -> Any:
        settings = self._json.JsonSerializerSettings()
        # Newtonsoft would turn strings that look like dates into dates of another spelling.
        settings.DateParseHandling = getattr(self._json.DateParseHandling, "None")
        text = json.dumps(value)
        return self._json.JsonConvert.DeserializeObject[self._linq.JToken](text, settings)

    def _value(self, token: Any) -> Any:
        if token is None:
            return None
        return json.loads(token.ToString(getattr(self._json.Formatting, "None")))

    def _validate(self, request: dict[str, Any]) -> None:
        definition = {"outputs": {}, "staticResults": {}, "parameters": {}, **request["definition"]}
        template = self._json.JsonConvert.DeserializeObject[self._schema.FlowTemplate](
            json.dumps(definition)
        )
        self._engines.TemplateEngine.ValidateTemplate(template)
        values = self._collections.InsensitiveDictionary[self._linq.JToken]()
        for name, value in request["parameters"].items():
            values[name] = self._token(value)
        self._engines.TemplateEngine.ProcessTemplateLanguageExpressions(
            template, values, None, None, None
        )
        self._engines.TemplateValidationEngine.ValidateFlowTemplateDependencies(template, None)
        self._validations.FlowTemplateValidation.FlowVariables(template)

    def _evaluate(self, request: dict[str, Any]) -> Any:
        helper = self._helper(request["context"])
        result = (
            self._helpers.TemplateExpressionsHelper.EvaluateTemplateLanguageExpressionsRecursive(
                self._token(request["value"]), helper.EvaluationContext
            )
        )
        return self._value(result)

    def _helper(self, context: dict[str, Any]) -> Any:
        helper = self._expressions.TemplateExpressionEvaluationHelper(False)
        token = self._linq.JToken
        by_name = self._system.Func[self._system.String, token]
        nameless = self._system.Func[token]
        yes_or_no = self._system.Func[self._system.String, self._system.Boolean]

        def lookup(group: str) -> Any:
            def read(name: str) -> Any:
                for known, value in context.get(group, {}).items():
                    if name is None or known.lower() == name.lower():
                        return self._token(value)
                raise self._system.InvalidOperationException(f"{group} has no '{name}' yet")

            return by_name(read)

        def single(key: str) -> Any:
            return nameless(lambda: self._token(context.get(key)))

        helper.OnGetAction = lookup("actions")
        helper.OnGetTrigger = by_name(lambda name: self._token(context.get("trigger")))
        helper.OnGetParameter = lookup("parameters")
        helper.OnGetVariable = lookup("variables")
        helper.OnGetItem = lookup("items")
        helper.OnGetResult = lookup("results")
        helper.OnGetIterationIndex = lookup("iterations")
        helper.OnGetCurrentItem = single("item")
        helper.OnGetWorkflow = single("workflow")
        helper.OnGetCurrentAction = single("self")
        helper.OnListCallbackUrl = self._system.Func[self._system.String](
            lambda: context.get("callbackUrl", "")
        )
        helper.OnGetActionIsRepetitive = yes_or_no(lambda name: False)
        helper.OnGetActionHasNonReferenceableAggregatedPartialContent = yes_or_no(
            lambda name: False
        )
        return helper

    def _calls(self, request: dict[str, Any]) -> list[list[Any]]:
        """Each function call in a JSON tree: name, plain arguments, plain properties read of it."""
        helper = self._helpers.TemplateExpressionsHelper
        found: list[list[Any]] = []
        waiting = [
            helper.ParseTemplateLanguageExpression(text)
            for text in helper.GetTemplateLanguageExpressions(self._token(request["value"]))
        ]
        while waiting:
            expression = waiting.pop()
            kind = expression.GetType().Name
            if kind == "TemplateStringInterpolationExpression":
                waiting.extend(expression.Segments)
            if not hasattr(expression, "FunctionName"):
                continue
            plain = [self._value(one.Value) for one in expression.Parameters if _is_plain(one)]
            properties = [one.Expression for one in expression.Dereferences]
            path = [self._value(one.Value) for one in properties if _is_plain(one)]
            found.append([str(expression.FunctionName), plain, path])
            waiting.extend(expression.Parameters)
            waiting.extend(properties)
        return found


def _is_plain(expression: Any) -> bool:
    return bool(expression.GetType().Name == "TemplateJTokenExpression")


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise SystemExit(f"the package {name} is not installed")
    return Path(spec.origin).parent


def main() -> None:
    """Answer requests until the input ends."""
    # The engine writes diagnostics to the standard output; answers go out by a copy of it.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    host = Host()
    for line in sys.stdin:
        answers.write(json.dumps(host.answer(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
