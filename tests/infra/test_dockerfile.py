"""The image as far as it can be judged without an engine: its steps, and what they would install.

No test builds the image. These read the Dockerfile, make the wheel that its `pip install` would
make, from the files that it copies alone, and run that wheel's command.
"""

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path

import pytest

from mdti.arguments import command_line
from mdti.feeds.names import feed_names
from tests.arm.template import load
from tests.infra.templates import PLATFORM, ROOT

Step = tuple[str, str]

TEXT = (ROOT / "Dockerfile").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def steps() -> list[Step]:
    """Return the instructions with their arguments, continued lines joined."""
    lines = "\n".join(line for line in TEXT.splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", "", lines)
    return [(name, rest) for name, rest in re.findall(r"^([A-Z]+) +(.+)$", joined, re.MULTILINE)]


STEPS = steps()


def only(name: str) -> str:
    """Return the arguments of the one instruction of that name."""
    (found,) = [rest for known, rest in STEPS if known == name]
    return found


def copied() -> dict[str, str]:
    """Return what is copied from the context, and where to."""
    places = {}
    for name, rest in STEPS:
        if name == "COPY":
            *sources, target = rest.split()
            places.update({source: target.rstrip("/") for source in sources})
    return places


def test_every_instruction_is_one_that_is_judged_here() -> None:
    written = [line for line in TEXT.splitlines() if re.match(r"[A-Z]+ ", line)]
    assert len(written) == len(STEPS)
    assert {name for name, _ in STEPS} == {
        "FROM", "WORKDIR", "COPY", "RUN", "ENV", "VOLUME", "USER", "ENTRYPOINT", "CMD",
    }  # fmt: skip


def test_the_python_of_the_image_is_one_that_is_supported() -> None:
    found = re.fullmatch(r"python:(\d\.\d+)-slim", only("FROM"))
    assert found
    assert found[1] in load(PLATFORM)["parameters"]["pythonVersion"]["allowedValues"]
    assert PROJECT["project"]["requires-python"] == ">=3.11"


def test_what_is_copied_exists_and_nothing_else_reaches_the_builder() -> None:
    ignored, *kept = [
        line for line in (ROOT / ".dockerignore").read_text("utf-8").split() if "__" not in line
    ]
    assert ignored == "*"
    assert {line.removeprefix("!") for line in kept} == set(copied())
    for source in copied():
        assert (ROOT / source).exists(), source
        assert not fnmatch(source, "*env*")


def test_it_runs_as_a_user_without_rights_who_owns_the_state_alone() -> None:
    user = only("USER")
    assert user.isdecimal(), "a cluster that forbids root has to see a number"
    assert int(user) > 0
    run, folder = only("RUN"), only("VOLUME")
    assert f"--uid {user} " in run
    assert re.findall(r"chown (\S+) (\S+)", run) == [(user, folder)]
    assert f"MDTI_STATE_DIR={folder} " in f"{only('ENV')} "
    names = [name for name, _ in STEPS]
    assert names.index("RUN") < names.index("VOLUME") < names.index("USER")
    assert "sudo" not in TEXT


def test_it_holds_no_secret() -> None:
    assert not re.search(r"(?i)(secret|token|password|api_?key|credential)\w*[= ]", TEXT)
    assert "ARG" not in {name for name, _ in STEPS}
    assert "ADD" not in {name for name, _ in STEPS}


def test_its_command_is_one_that_the_command_line_takes() -> None:
    program, *arguments = json.loads(only("ENTRYPOINT"))
    feed = json.loads(only("CMD"))
    assert program in PROJECT["project"]["scripts"]
    options = command_line().parse_args([*arguments, *feed])
    assert (options.command, options.action, options.follow) == ("feed", "run", True)
    assert options.name in feed_names()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that `pip install` makes of what the image copies, without the network."""
    context, made = tmp_path_factory.mktemp("app"), tmp_path_factory.mktemp("wheel")
    unwanted = shutil.ignore_patterns("__pycache__")
    for source, target in copied().items():
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, context / target, ignore=unwanted)
        else:
            shutil.copy(ROOT / source, context / target)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(made), str(context)]
    subprocess.run(command, check=True, timeout=300)
    (path,) = made.iterdir()
    return path


def test_what_it_installs_is_the_whole_package_with_its_command(wheel: Path) -> None:
    assert "pip install" in only("RUN")
    assert ".[opencti]" in only("RUN")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (points,) = [name for name in names if name.endswith("/entry_points.txt")]
        (metadata,) = [name for name in names if name.endswith("/METADATA")]
        parser = ConfigParser()
        parser.read_string(archive.read(points).decode())
        about = archive.read(metadata).decode()
    assert dict(parser["console_scripts"]) == PROJECT["project"]["scripts"]
    assert re.search(r"(?i)^Requires-Dist: PyYAML.*extra == .opencti", about, re.MULTILINE)
    present = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "mdti").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if name.startswith("mdti/")} == present
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"mdti"}


def test_the_installed_command_runs_the_feed(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    _, *arguments = json.loads(only("ENTRYPOINT"))
    arguments = [*(one for one in arguments if one != "--follow"), *json.loads(only("CMD"))]
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import mdti.cli as cli;"
        " print(cli.__file__, flush=True); sys.exit(cli.main())"
    )
    command = [sys.executable, "-I", "-c", program, str(tmp_path), *arguments, "--sandbox"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    place, *shown = done.stdout.splitlines()
    assert Path(place).is_relative_to(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert shown[0] == "opencti-to-defender: complete"
