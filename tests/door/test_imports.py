import json
import subprocess
import sys

import pytest

from tests.door.service import ROOT

HEAVY = [
    "azure.identity",
    "azure.storage",
    "azure.core",
    "msal",
    "publicsuffixlist",
    "stix2",
    "antlr4",
    "requests",
    "mdti.app",
    "mdti.render",
    "mdti.sandbox",
]


def python(code: str, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_finding_the_functions_loads_nothing_heavy() -> None:
    loaded = json.loads(
        python(
            "import json, sys, function_app; function_app.app.get_functions();"
            "print(json.dumps(sorted(sys.modules)))"
        )
    )

    assert [name for name in HEAVY if name in loaded] == []


@pytest.mark.parametrize("heavy", ["azure.identity", "azure.storage", "publicsuffixlist", "stix2"])
def test_making_the_app_loads_no_library_that_it_may_not_need(heavy: str) -> None:
    code = f"import sys, mdti.routes; print({heavy!r} in sys.modules)"

    assert python(code).strip() == "False"


def test_importing_reads_one_setting_and_writes_nothing() -> None:
    code = """
import os
class Environ(dict):
    read = set()
    def get(self, name, default=None):
        self.read.add(name)
        return super().get(name, default)
    def __getitem__(self, name):
        self.read.add(name)
        return super().__getitem__(name)
import azure.functions
os.environ = Environ()
import function_app
print(sorted(os.environ.read), dict(os.environ))
"""
    assert python(code).strip() == "['WEBSITE_AUTH_ENABLED'] {}"
