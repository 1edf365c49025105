"""Every example of a page runs, every link leads somewhere, and the API reference can be built."""

import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import ase.io
import numpy as np
import pdoc.render
import pytest
import yaml
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

import molnet

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    *(ROOT / folder / "README.md" for folder in ("conf", "data", "molnet", "scripts")),
    ROOT / ".github" / "CONTRIBUTING.md",
]
DOCUMENTED = ["molnet", "!molnet.kernels", "!molnet.training", "!molnet.sweeps", "!molnet.commands"]
"""The modules of the reference; what is left out is not made to be called."""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the pages name."""
    folder = tmp_path_factory.mktemp("workplace")
    rng = np.random.default_rng(0)
    frames = []
    for index in range(20):
        atoms = molecule(["H2O", "CH4", "CH3OH", "NH3"][index % 4])
        atoms.rattle(0.05, rng=rng)
        atoms.calc = EMT()
        atoms.get_forces()
        frames.append(atoms)
    ase.io.write(folder / "frames.xyz", frames, format="extxyz")
    for atoms in frames:
        atoms.calc = None
        atoms.info["IP"] = 9.0 + rng.normal(scale=0.1)
        atoms.arrays["sigma"] = 30.0 + atoms.numbers + rng.normal(size=len(atoms))
        atoms.arrays["sigma_tensor"] = rng.normal(size=(len(atoms), 9))
    ase.io.write(folder / "nmr.xyz", frames, format="extxyz")
    ase.io.write(folder / "structures.xyz", [molecule("H2O"), molecule("CH3OH")])
    ase.io.write(folder / "molecule.xyz", molecule("CH3OH"))
    ase.io.write(folder / "ethanol.xyz", molecule("CH3CH2OH"))
    dimer = molecule("H2O") + molecule("H2O")
    dimer.positions[3:] += [0, 0, 3.0]
    ase.io.write(folder / "dimer.xyz", dimer)
    ammonia, inverted = molecule("NH3"), molecule("NH3")
    inverted.positions[:, 2] *= -1
    ase.io.write(folder / "reactant.xyz", ammonia)
    ase.io.write(folder / "product.xyz", inverted)
    (folder / "crystals").mkdir()
    ase.io.write(folder / "crystals" / "diamond.cif", bulk("C", "diamond", a=3.57))
    program = (
        "import molnet\n"
        "molnet.train('frames.xyz', 'trainer.max_steps=2', energy=('energy', 'eV'), "
        "forces=('forces', 'eV/Å'), model='small', folder='outputs/2026-01-31/12-00-00')\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=folder, env=environment(), check=True)
    return folder


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}


@pytest.mark.parametrize(
    "page",
    [
        page if page == ROOT / "README.md" else pytest.param(page, marks=pytest.mark.slow)
        for page in PAGES
    ],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_examples(page: Path, workplace: Path, tmp_path: Path) -> None:
    # Pages have examples in common, which refuse the results of one another.
    own = shutil.copytree(workplace, tmp_path / "own")
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "examples.py", page, own],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page: Path) -> None:
    prose = re.sub(r"^ {4}.*$", "", page.read_text(), flags=re.MULTILINE)  # formulas are indented
    for target in re.findall(r"\]\(([^)#]+)", prose):
        assert (page.parent / target).exists(), f"{page}: {target}"


def test_the_first_two_commands_run_the_main_job_and_the_tests() -> None:
    lines = [line.strip() for line in (ROOT / "README.md").read_text().splitlines()]
    commands = [line for line in lines if line.startswith("pip install")]
    assert commands[:2] == [
        "pip install -e . && python scripts/train.py",
        'pip install -e ".[dev]" && pytest',
    ]


def test_every_file_of_settings_is_in_its_page() -> None:
    page = (ROOT / "conf" / "README.md").read_text()
    for path in (ROOT / "conf").glob("*/*.yaml"):
        name = path.relative_to(ROOT / "conf")
        whole_folder = f"]({name.parts[0]})" in page
        assert whole_folder or f"]({name})" in page, f"conf/README.md does not name {name}"


def test_references_in_docstrings_lead_somewhere() -> None:
    lost = []
    for path in (ROOT / "molnet").rglob("*.py"):
        for name in re.findall(r":\w+:`~?(molnet[\w.]+)`", path.read_text()):
            if not is_there(name):
                lost.append(f"{path.relative_to(ROOT)}: {name}")
    assert lost == []


def is_there(name: str) -> bool:
    """Whether a dotted name is a module, or something within one; attributes of instances count."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            annotated = part in getattr(found, "__annotations__", {})
            if not hasattr(found, part) and not annotated:
                return False
            found = getattr(found, part, None)
        return True
    return False


def test_the_reference_is_built_without_warnings(tmp_path: Path) -> None:
    pdoc.render.configure(docformat="google", math=True, show_source=False)
    for name in molnet.__all__:
        assert getattr(molnet, name), "pdoc sees what has been used"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)  # of libraries
        pdoc.pdoc(*DOCUMENTED, output_directory=tmp_path)
    for name in ("o3", "nn", "graph", "models", "datasets", "simulate"):
        assert (tmp_path / "molnet" / f"{name}.html").is_file()
    text = (tmp_path / "molnet.html").read_text()
    assert "max_time" in text
    assert "Calculator" in text


def test_the_citation_has_the_version_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert citation["title"].startswith(project["name"])
