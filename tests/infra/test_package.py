import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from mdti.sandbox.host import Sandbox
from tests.door.service import SEED, load
from tests.infra.templates import ROOT
from tools.links import read_address
from tools.package import build, contents, version, write


def names() -> set[str]:
    with zipfile.ZipFile(io.BytesIO(build())) as archive:
        assert archive.testzip() is None
        return set(archive.namelist())


def test_the_package_holds_the_app_and_no_tests_sandbox_tools_or_local_settings() -> None:
    found = names()
    assert found >= {"function_app.py", "host.json", "requirements.txt", "mdti/app.py"}
    assert {name.split("/")[0] for name in found} == {
        "function_app.py",
        "host.json",
        "requirements.txt",
        "mdti",
    }
    assert not [name for name in found if re.search(r"sandbox/|__pycache__|\.pyc$", name)]


def test_publishing_this_folder_gives_the_same_files_as_the_package() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("this is no clone: which files belong to the project is not known")
    ignored = [
        line
        for line in (ROOT / ".funcignore").read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    tracked = {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}
    tracked.discard(".funcignore")
    published = {name for name in tracked if not any(_matches(name, one) for one in ignored)}
    assert published == {path.as_posix() for path in contents()} & tracked


def _matches(name: str, pattern: str) -> bool:
    """Return whether a line of .funcignore, of the forms that ours has, leaves a file out."""
    parts = name.split("/")
    if pattern.endswith("/"):
        folder = pattern.rstrip("/")
        if "/" in folder:
            return name.startswith(pattern)
        return any(fnmatch(part, folder) for part in parts[:-1])
    if "/" in pattern:
        return fnmatch(name, pattern)
    return any(fnmatch(part, pattern) for part in parts)


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    files = {path: (ROOT / path).read_bytes() for path in contents()}
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, order in ((one, files), (other, reversed(files))):
        for path in order:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(files[path])
            os.utime(folder / path, (len(folder.name), 0))
    assert build(one) == build(other)


def test_the_package_is_named_by_its_version_and_has_its_digest_beside_it(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert path.name == f"mdti-actor-lookup-{version()}.zip"
    digest, name = path.with_name(f"{path.name}.sha256").read_text("ascii").split()
    assert (digest, name) == (hashlib.sha256(path.read_bytes()).hexdigest(), path.name)


def test_the_address_points_to_the_package_of_this_version() -> None:
    assert read_address().package.endswith(f"/mdti-actor-lookup-{version()}.zip")


def test_the_platform_installs_what_the_project_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    required = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    assert [line for line in required if line and not line.startswith("#")] == project[
        "dependencies"
    ]


@pytest.mark.skipif(sys.version_info < (3, 13), reason="azure-functions-runtime needs Python 3.13")
def test_the_package_answers_on_microsofts_worker_with_its_requirements_alone(
    tmp_path: Path,
) -> None:
    app, worker, clean = (tmp_path / name for name in ("app", "worker", "clean"))
    with zipfile.ZipFile(io.BytesIO(build())) as archive:
        archive.extractall(app)
    _worker_library(worker)
    subprocess.run([sys.executable, "-m", "venv", str(clean)], check=True)
    python = clean / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--requirement"]
    subprocess.run([*install, str(app / "requirements.txt")], check=True)

    with Sandbox() as sandbox:
        environment = {**sandbox.environment(), "MDTI_STATE_DIR": str(tmp_path / "state")}
        script = Path(__file__).with_name("packaged.py")
        answer = subprocess.run(
            [str(python), str(script), str(app), str(worker), str(ROOT), SEED],
            env=environment | {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=app,
            capture_output=True,
            text=True,
            check=False,
        )
    assert answer.returncode == 0, answer.stderr
    result: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    assert set(result["functions"]) == _functions()
    assert all(Path(path).is_relative_to(app) for path in result["loaded"].values())
    assert result["status"] == "200"
    assert result["body"]["actors"][0]["name"] == "Paper Drizzle"


def _functions() -> set[str]:
    return {str(function.get_function_name()) for function in load().app.get_functions()}


def _worker_library(folder: Path) -> None:
    """Copy the worker library without what it shares with an app."""
    for name in ("azure_functions_runtime", "azurefunctions"):
        spec = find_spec(name)
        assert spec is not None, f"{name} comes with the development tools"
        assert spec.submodule_search_locations
        source = Path(next(iter(spec.submodule_search_locations)))
        shutil.copytree(source, folder / name)
