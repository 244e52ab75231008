"""Rules of the house that no linter knows."""

import importlib
import inspect
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"

LINES = 450
LONG: dict[str, str] = {}  # file that may be longer -> why it holds one thing all the same

FOLDERS = sorted(
    path for path in (SOURCE / "penchant").rglob("*") if path.is_dir() and list(path.rglob("*.py"))
)
PACKAGES = sorted(
    ".".join(path.parent.relative_to(SOURCE).parts) for path in (SOURCE / "penchant").rglob("__init__.py")
)


@pytest.fixture(scope="session")
def files():
    """What git tracks or would track, as paths from the root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not in a git checkout")
    return [Path(name) for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_every_folder_is_a_package(folder):
    # Else import-linter does not see it, and its layers hold by not being looked at.
    assert (folder / "__init__.py").exists()


def test_no_file_holds_two_things(files):
    rooms = ("src", "tests", "benchmarks", "experiments", "docs")
    code = [path for path in files if path.suffix == ".py" and path.parts[0] in rooms]
    lines = {str(path): (ROOT / path).read_text().count("\n") for path in code}
    assert {name: n for name, n in lines.items() if n > LINES and name not in LONG} == {}
    assert [name for name in LONG if lines.get(name, 0) <= LINES] == [], "short by now: take it off the list"


def test_no_drawer_for_odds_and_ends(files):
    drawers = {"util", "utils", "helper", "helpers", "common", "misc", "tools"}
    assert [path for path in files if path.suffix == ".py" and drawers & {path.stem, *path.parts}] == []


def test_no_path_of_somebodys_machine(files):
    machine = re.compile(rb"(?<![\w.*~/-])/(?:work|farm|root|home|Users|tmp|mnt)/\w")
    found = [
        f"{path}:{number}"
        for path in files
        for number, line in enumerate((ROOT / path).read_bytes().splitlines(), 1)
        if machine.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_explains_itself(package):
    module = importlib.import_module(package)
    assert module.__doc__, f"{package} has no docstring"
    public = {name: getattr(module, name) for name in getattr(module, "__all__", [])}
    explainable = {
        name: thing for name, thing in public.items() if inspect.isclass(thing) or inspect.isroutine(thing)
    }
    assert [name for name, thing in explainable.items() if not own_docstring(thing)] == []


def own_docstring(thing):
    """A docstring that somebody wrote for this very thing: not inherited, not made by dataclass."""
    text = vars(thing).get("__doc__") if inspect.isclass(thing) else inspect.getdoc(thing)
    return text and not text.startswith(f"{thing.__name__}(")


@pytest.mark.slow
def test_the_wheel_holds_the_package_its_types_and_the_licence(tmp_path):
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT]
    subprocess.run(pip, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    packaged = {name for name in names if name.startswith("penchant/")}
    assert packaged >= {str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py")} | {
        "penchant/py.typed"
    }
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"penchant"}
