"""The wheel, installed where there is no checkout, works from any folder."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import ase.io
import pytest
from ase.build import molecule

ROOT = Path(__file__).resolve().parents[2]
PACKED = ("molnet", "conf", "data", "LICENSE", "MANIFEST.in", "README.md", "pyproject.toml")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, and with this environment's other packages."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("wheel")
    for name in (*PACKED, "setup.py"):  # a copy, as building leaves files behind
        source = ROOT / name
        ignored = shutil.ignore_patterns("__pycache__")
        if source.is_dir():
            shutil.copytree(source, folder / "source" / name, ignore=ignored)
        else:
            shutil.copy(source, folder / "source" / name)
    pip = [sys.executable, "-m", "pip"]
    quiet = ["--quiet", "--no-deps", "--no-index"]
    subprocess.run(
        [*pip, "wheel", *quiet, "--no-build-isolation", "-w", folder, folder / "source"], check=True
    )
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    venv.create(environment, symlinks=True)
    subprocess.run([*pip, "--python", environment, "install", *quiet, wheel], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    others = [path for path in sys.path if path.endswith("-packages")]
    (packages / "others.pth").write_text("\n".join(others) + "\n")
    return environment


def molnet(installed: Path, folder: Path, *arguments: str) -> str:
    """What a command prints, which must end well."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    run = subprocess.run(
        [installed / "bin" / "molnet", *arguments],
        cwd=folder,
        env=environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_it_predicts_with_the_bundled_model(installed: Path, tmp_path: Path) -> None:
    assert str(installed) in molnet(installed, tmp_path, "models")  # not the checkout's
    ase.io.write(tmp_path / "water.xyz", molecule("H2O"))
    printed = molnet(installed, tmp_path, "predict", "water.xyz")
    assert "model organic" in printed
    assert "1 structure, 3 atoms" in printed
    assert ase.io.read(tmp_path / "water.predicted.extxyz").get_potential_energy() < -100


def test_it_trains_on_the_bundled_data(installed: Path, tmp_path: Path) -> None:
    small = ["model.channels=4", "model.num_layers=1", "logger=none", "trainer.accelerator=cpu"]
    molnet(installed, tmp_path, "train", *small, "trainer.max_steps=2", "hydra.run.dir=run")
    assert (tmp_path / "run" / "metrics.json").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"run"}
