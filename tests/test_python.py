"""What a user reaches from ``import molnet``, and training as a call."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
from ase.build import molecule
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra

import molnet
from molnet.bundled import CONF
from molnet.training.errors import ConfigError
from molnet.training.interruption import RunInterrupted

ROOT = Path(__file__).resolve().parents[1]
TINY: dict[str, Any] = {
    "model": {"channels": 4, "l_max": 1, "num_layers": 1, "radial_hidden": [8]},
    "dataset": {"train_size": 8, "validation_size": 4, "batch_size": 4, "cache": "stores"},
    "trainer.accelerator": "cpu",
}


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen molecules with an energy in kcal/mol, forces in kcal/mol/Å, and shieldings."""
    rng = np.random.default_rng(0)
    structures = []
    for index in range(16):
        atoms = molecule(["H2O", "CH4"][index % 2])
        atoms.rattle(0.05, rng=rng)
        from_centre = atoms.positions - atoms.get_center_of_mass()
        atoms.info["E_tot"] = 10.0 * float((from_centre**2).sum())
        atoms.arrays["F"] = -20.0 * from_centre
        atoms.arrays["sigma"] = 30.0 + atoms.numbers
        structures.append(atoms)
    path = tmp_path_factory.mktemp("frames") / "frames = all.xyz"
    ase.io.write(path, structures, format="extxyz")
    return path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_import_is_light_and_shows_what_there_is() -> None:
    program = (
        "import sys, molnet\n"
        "assert not {'torch', 'ase', 'hydra', 'numpy'} & sys.modules.keys()\n"
        "print(*dir(molnet))\n"
        "assert molnet.o3.Irreps('1o').dim == 3\n"
        "assert 'pytorch_lightning' not in sys.modules\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    names = shown.stdout.split()
    assert {"Calculator", "Model", "Run", "load", "train", "o3", "nn", "__version__"} <= {*names}
    assert not [name for name in names if name in ("Any", "TYPE_CHECKING", "import_module")]


@pytest.mark.parametrize("name", molnet.__all__)
def test_everything_shown_is_there_and_documented(name: str) -> None:
    assert getattr(molnet, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        molnet.lod  # noqa: B018


def test_a_bundled_model_by_its_name() -> None:
    model, water = molnet.load("organic"), molecule("H2O")
    assert "GFN2-xTB" in repr(model) or "organic" in repr(model)
    water.calc = molnet.Calculator("organic")
    np.testing.assert_allclose(water.get_forces(), model.predict(water)["forces"], atol=1e-5)
    assert abs(water.get_forces()).max() < 2.0  # near its minimum, on any surface


def test_a_name_that_is_no_model() -> None:
    with pytest.raises(FileNotFoundError, match="organik"):
        molnet.load("organik")


def train(frames: Path, *arguments: Any, **settings: Any) -> molnet.Run:
    given = TINY | {"max_epochs": 1} | settings
    return molnet.train(
        frames, TINY, *arguments, **{k: v for k, v in given.items() if k not in TINY}
    )


def test_a_file_becomes_a_model(frames: Path, tmp_path: Path, capsys: Any) -> None:
    os.chdir(tmp_path)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    logger, root = logging.getLogger("molnet"), logging.getLogger()
    before = (logger.level, root.level, [*logger.handlers], [*root.handlers])
    with initialize_config_dir(str(CONF), version_base="1.3"):
        run = train(
            frames,
            "model.cutoff=3.5",
            energy=("E_tot", "kcal/mol"),
            forces=("F", "kcal/mol/Å"),
            folder="mine",
        )
        assert compose("predict", ["input=b"]).input == "b"  # the user's own Hydra
    assert not GlobalHydra.instance().is_initialized()
    assert (logger.level, root.level, [*logger.handlers], [*root.handlers]) == before
    assert torch.rand(1) == expected
    assert Path.cwd() == tmp_path
    assert run.folder == tmp_path / "mine"
    assert run.model.cutoff == 3.5
    assert run.metrics["test"]["forces"]["count"] == 3 * sum(
        len(atoms) for atoms in ase.io.read(run.folder / "test_predictions.extxyz", ":")
    )
    assert run.metrics["epochs"] == 1
    assert "test forces: MAE" in repr(run)
    assert (run.folder / "learning_curves.png").is_file()
    (first, *_) = run.model.predict(ase.io.read(frames, ":"))
    loaded = molnet.load("mine").predict(ase.io.read(frames, 0))
    np.testing.assert_array_equal(first["forces"], loaded["forces"])
    assert "E_tot" in (run.folder / "train.log").read_text()

    with pytest.raises(ConfigError, match=r"mine already holds the results of a run"):
        train(frames, energy=("E_tot", "kcal/mol"), forces=("F", "kcal/mol/Å"), folder="mine")
    longer = molnet.train(resume="mine", max_epochs=2)
    assert longer.folder == run.folder
    assert longer.metrics["epochs"] == 2
    assert not [name for name in ConfigStore.instance().repo if name.startswith("resumed")]


def test_a_target_of_ones_own(frames: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = train(
        frames,
        shielding=("sigma", "ppm"),
        target={
            "heads": {"shielding": {"kind": "tensor", "irreps": "0e", "per": "atom"}},
            "losses": {"shielding": {"weight": 1.0}},
            "properties": {"shielding": {"unit": "ppm", "per": "atom"}},
        },
        quiet=True,
    )
    assert run.folder.parent.parent == Path.cwd() / "outputs"
    assert [*run.model.properties] == ["shielding"]
    assert run.model.predict(molecule("H2O"))["shielding"].shape == (3,)
    assert capfd.readouterr().out == ""


def test_structures_are_no_argument_of_a_training() -> None:
    with pytest.raises(TypeError, match=r"received ase\.atoms\.Atoms\. Write structures to a file"):
        molnet.train(molecule("H2O"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        ([], {"lr": 1e-3}, r"unknown option lr: did you mean optimizer\.lr\?"),
        ([], {"modell": "small"}, "unknown option modell: did you mean 'model'"),
        ([], {"model": "hueg"}, "unknown option model=hueg"),
        ([], {"model": {"cutof": 4}}, r"unknown option model\.cutof: did you mean 'model\.cutoff'"),
        ([], {"energy": ("a", "b", "c")}, r'expected the label\'s key and its unit .*"eV"\)'),
        ([], {"config_dir": "nowhere"}, "config_dir=nowhere: there is no such folder"),
        ([], {"trainer": {"dtype": "float16"}}, r"trainer\.dtype=float16"),
        (["model.cutoff=4,5"], {}, "expected one value. Call train for each"),
        (["model.cutoff=a"], {}, r"model\.cutoff"),
        ([], {"dataset": "structures"}, r"dataset\.path is not set"),
    ],
)
def test_mistakes_are_told_as_on_the_command_line(
    arguments: list[str], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        molnet.train(*arguments, **settings)
    assert not Path("outputs").exists() or not [*Path("outputs").glob("*/*")]
    assert not GlobalHydra.instance().is_initialized()


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError, match=r"no structure file .*mine\.xyz"):
        molnet.train("mine.xyz", energy=("energy", "eV"), target="energy")
    with pytest.raises(FileNotFoundError, match=r"resume=.*nothing: no such checkpoint"):
        molnet.train(resume="nothing")


def test_an_interruption_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise RunInterrupted(Path("run/checkpoints/last.ckpt"))

    monkeypatch.setattr("molnet.commands.in_python.run_training", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r'molnet\.train\(resume="run/checkpoints/last'):
        molnet.train()


USER_PROGRAM = """
from pathlib import Path
import molnet
from ase import Atoms

model = molnet.load("organic")
atoms = Atoms("H")
reveal_type(model.predict(atoms)["energy"].shape)
reveal_type(model.predict([atoms]))
reveal_type(model.predict(Path("a.xyz"))[0])
atoms.calc = molnet.Calculator(model)
reveal_type(molnet.train("a.xyz", energy=("energy", "eV"), max_time="10m").model)
reveal_type(molnet.o3.Irreps("1o").dim)
molnet.lod("organic")
molnet.train(max_time=10)
"""


@pytest.mark.slow
def test_types_are_seen_by_a_users_mypy(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(USER_PROGRAM)
    shown = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(ROOT)},
    ).stdout
    found = [line.partition(": ")[2] for line in shown.splitlines()]
    assert [line for line in found if line.startswith("error")] == [
        'error: Module has no attribute "lod"  [attr-defined]',
        'error: Argument "max_time" to "train" has incompatible type "int"; expected "str | None"'
        "  [arg-type]",
    ]
    revealed = [line.split('"')[1] for line in found if line.startswith("note")]
    assert [text.split("[")[0] for text in revealed] == [
        "tuple", "list", "dict", "molnet.models.model.Model", "int",
    ]  # fmt: skip


def test_the_marker_of_types_is_packaged() -> None:
    assert (Path(molnet.__file__).parent / "py.typed").is_file()
    assert '"py.typed"' in (ROOT / "pyproject.toml").read_text()
