"""Build the zip that the platform takes: the app's source, which it completes by requirements.txt.

    python -m tools.package            write build/mdti-actor-lookup-<version>.zip and its SHA-256

The same source gives the same bytes on every machine: names are sorted, times are fixed, and
nothing is compressed, because compressors differ. Tests, the sandbox and tools are left out.
"""

import hashlib
import io
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build"
SINGLE = ("function_app.py", "host.json", "requirements.txt")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644 << 16


def contents(root: Path = ROOT) -> Iterator[Path]:
    """Yield the files of the package, relative to the repository and sorted."""
    package = root / "mdti"
    found = [root / name for name in SINGLE]
    found += [path for path in package.rglob("*.py") if "sandbox" not in path.parts]
    found += [path for path in (package / "data").rglob("*") if path.is_file()]
    found = [path for path in found if "__pycache__" not in path.parts]
    yield from sorted(path.relative_to(root) for path in found)


def build(root: Path = ROOT) -> bytes:
    """Return the zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in contents(root):
            entry = zipfile.ZipInfo(path.as_posix(), _EPOCH)
            entry.create_system = 3  # Unix, so that the mode counts wherever it was built
            entry.external_attr = _MODE
            archive.writestr(entry, (root / path).read_bytes())
    return buffer.getvalue()


def version(root: Path = ROOT) -> str:
    """Return the version of the project."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    return str(project["version"])


def write(folder: Path = BUILD, root: Path = ROOT) -> Path:
    """Write the zip and, beside it, its SHA-256 in the form that `sha256sum --check` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"mdti-actor-lookup-{version(root)}.zip"
    data = build(root)
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    path.with_name(path.name + ".sha256").write_text(f"{digest}  {path.name}\n", encoding="ascii")
    return path


def main() -> int:
    """Write both files and say where."""
    sys.stdout.write(f"{write().relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
