"""`benchmark.py accuracy`: what codes are given, how they are watched, what is made of it."""

import ast
import csv
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
import yaml
from ase import Atoms
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect

pytestmark = pytest.mark.usefixtures("on_path")

MOLNET = """\
epoch,step,seconds,validation/energy_mae (meV),validation/energy_rmse (meV),\
validation/forces_mae (meV/Å),validation/forces_rmse (meV/Å),validation/loss
1,90,2.964,190.47,209.5,295.9,450.5,2.37
2,180,6.051,58.62,77.25,140.06,210.0,0.94
"""
MACE = """\
2026-11-30 03:21:10.838 INFO: Started training, reporting errors on validation set
2026-11-30 03:21:13.000 INFO: Initial: head: Default, loss=132.51692200, RMSE_E=72933.59 meV, \
RMSE_F= 1043.43 meV / A
2026-11-30 03:21:53.782 INFO: Epoch 0: head: Default, loss=15.67144775, RMSE_E=  209.50 meV, \
RMSE_F=  450.50 meV / A
2026-11-30 03:22:33.720 INFO: Epoch 1: head: Default, loss=3.66102266, RMSE_E=   77.25 meV, \
RMSE_F=  210.00 meV / A
2026-11-30 03:23:45.901 INFO: Epoch 2: head: Default, loss=2.19252586, RMSE_E=   34.
"""
NEQUIP = """\
epoch,step,train_loss_epoch/forces_mse,val0_epoch/forces_mae,val0_epoch/forces_rmse,\
val0_epoch/per_atom_energy_rmse,val0_epoch/total_energy_mae,val0_epoch/total_energy_rmse
0,49,,,,,,
0,89,,0.376,0.4505,0.0132,0.167,0.2095
0,89,0.708,,,,,
1,179,,0.176,0.21,0.0132,0.067,0.07725
1,179,0.3
"""
SCHNETPACK = """\
epoch,lr_schedule,step,train_energy_rmse,train_forces_rmse,train_loss,val_energy_rmse,\
val_forces_rmse,val_loss
,0.001,0,,,,,,
0,,44,,,,0.2095,0.4505,0.182
1,,49,0.377,0.400,0.160,,,
1,,89,,,,0.07725,0.21,0.037
2,,134,,,,0.0
"""
SAMPLES = {"molnet": MOLNET, "mace": MACE, "nequip": NEQUIP, "schnetpack": SCHNETPACK}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Twelve structures of methanol with labels of EMT, and the atoms alone."""
    folder = tmp_path_factory.mktemp("labelled")
    structures = []
    for seed in range(12):
        atoms = molecule("CH3OH")
        atoms.rattle(0.05, seed=seed)
        structures.append(_with_labels(atoms))
    single = [_with_labels(Atoms(symbol)) for symbol in "CHO"]
    ase.io.write(folder / "frames.xyz", structures)
    ase.io.write(folder / "isolated.xyz", single)
    return folder / "frames.xyz", folder / "isolated.xyz"


def _with_labels(atoms: Atoms) -> Atoms:
    atoms.calc = EMT()
    labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
    atoms.calc = SinglePointCalculator(atoms, **labels)
    return atoms


@pytest.fixture
def task(labelled: tuple[Path, Path], tmp_path: Path) -> Any:
    """The files in a folder, and what codes are told of them."""
    from benchmarking.accuracy import prepare

    return prepare(*labelled, validation=3, output=tmp_path, minutes=10, threads=2)


@pytest.mark.parametrize("name", SAMPLES)
def test_errors_are_read_from_what_each_code_writes(name: str) -> None:
    from benchmarking.codes import CODES

    errors = CODES[name].parse(SAMPLES[name])
    assert [tuple(error) for error in errors] == [
        (pytest.approx(450.5), pytest.approx(209.5)),
        (pytest.approx(210.0), pytest.approx(77.25)),
    ]
    assert CODES[name].parse("") == []


def test_all_codes_get_the_same_structures(
    labelled: tuple[Path, Path], task: Any, tmp_path: Path
) -> None:
    source = ase.io.read(labelled[0], ":")
    parts = {name: ase.io.read(tmp_path / f"{name}.xyz", ":") for name in ("train", "validation")}
    assert (task.training, task.validation) == (len(parts["train"]), len(parts["validation"]))
    assert (task.training, task.validation) == (9, 3)
    energies = [atoms.info["REF_energy"] for part in parts.values() for atoms in part]
    expected = {atoms.get_potential_energy(): atoms for atoms in source}
    assert sorted(energies) == pytest.approx(sorted(expected), abs=1e-9)
    for atoms in parts["train"]:
        nearest = min(expected, key=lambda energy: abs(energy - atoms.info["REF_energy"]))
        forces = expected[nearest].get_forces()
        np.testing.assert_allclose(atoms.arrays["REF_forces"], forces, atol=1e-7)
        assert atoms.calc is None
    alone = {
        str(atoms.symbols): atoms.get_potential_energy() for atoms in ase.io.iread(labelled[1])
    }
    assert task.references == pytest.approx(alone)


def test_the_commands_name_the_files_the_references_and_the_seed(task: Any, tmp_path: Path) -> None:
    from benchmarking.codes import CODES

    script, *overrides = CODES["molnet"].command(task)
    assert Path(script).is_file()
    given = dict(override.split("=", 1) for override in overrides)
    assert given["dataset.path"] == "../train.xyz"
    assert given["dataset.validation_path"] == "../validation.xyz"
    assert given["trainer.max_time"] == "580s"
    assert given["trainer.threads"] == "2"
    assert (given["experiment"], given["finetune"]) == ("one_molecule", "null")
    started = CODES["molnet_organic"].command(task)
    assert "experiment=one_molecule" in started
    assert not any(override.startswith("finetune=") for override in started)

    arguments = dict(
        argument.removeprefix("--").split("=", 1)
        for argument in CODES["mace"].command(task)
        if "=" in argument
    )
    assert ast.literal_eval(arguments["E0s"]) == {
        {"C": 6, "H": 1, "O": 8}[symbol]: energy for symbol, energy in task.references.items()
    }
    assert (arguments["train_file"], arguments["valid_file"]) == (
        "../train.xyz",
        "../validation.xyz",
    )
    assert arguments["seed"] == "0"

    CODES["nequip"].prepare(task, tmp_path)
    config = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    assert "--config-name=recipe" in CODES["nequip"].command(task)
    assert config["data"]["train_file_path"] == "../train.xyz"
    assert config["training_module"]["model"]["per_type_energy_shifts"] == task.references


def test_schnetpack_gets_a_database_without_the_energies_of_the_atoms(
    task: Any, tmp_path: Path
) -> None:
    from benchmarking.codes import CODES

    folder = tmp_path / "schnetpack"
    folder.mkdir()
    CODES["schnetpack"].prepare(task, folder)
    frames = ase.io.read(tmp_path / "train.xyz", ":") + ase.io.read(
        tmp_path / "validation.xyz", ":"
    )
    with connect(folder / "frames.db") as database:
        rows = list(database.select())
        assert database.metadata["_property_unit_dict"] == {"energy": "eV", "forces": "eV/Ang"}
    for row, atoms in zip(rows, frames, strict=True):
        isolated = sum(task.references[symbol] for symbol in atoms.symbols)
        assert row.data["energy"] == pytest.approx(atoms.info["REF_energy"] - isolated)
        np.testing.assert_array_equal(row.data["forces"], atoms.arrays["REF_forces"])
    split = np.load(folder / "split.npz")
    assert split["train_idx"].tolist() == [*range(9)]
    assert split["val_idx"].tolist() == [9, 10, 11]
    experiment = yaml.safe_load((folder / "experiment" / "accuracy.yaml").read_text())
    assert [output["name"] for output in experiment["task"]["outputs"]] == ["energy", "forces"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"validation": 12}, "from 1 to 11"),
        ({"isolated_atoms": "of_carbon"}, "no energy of H, O"),
        ({"frames": "bare"}, "frame 0 has no energy and no forces"),
    ],
)
def test_data_that_will_not_do_are_refused(
    arguments: dict[str, Any], message: str, labelled: tuple[Path, Path], tmp_path: Path
) -> None:
    from benchmarking.accuracy import prepare

    ase.io.write(tmp_path / "of_carbon.xyz", _with_labels(Atoms("C")))
    ase.io.write(tmp_path / "bare.xyz", molecule("CH3OH"))
    given = {"frames": labelled[0], "isolated_atoms": labelled[1], "validation": 3, **arguments}
    for name in ("frames", "isolated_atoms"):
        if isinstance(given[name], str):
            given[name] = tmp_path / f"{given[name]}.xyz"
    with pytest.raises(ValueError, match=message):
        prepare(**given, output=tmp_path / "out", minutes=1, threads=1)


WORKER = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open("child", "w").write(str(child.pid))
time.sleep(0.5)
print("now training", os.environ["OMP_NUM_THREADS"], os.environ.get("PYTHONPATH"), flush=True)
for forces in (9.0, 8.0, 8.5):
    time.sleep(0.3)
    print("errors", forces, 2 * forces, flush=True)
time.sleep(60)
"""


def make_code(script: str) -> Any:
    """A code whose training is a few lines of Python."""
    from benchmarking.codes.code import Code, Errors

    def parse(text: str) -> list[Errors]:
        lines = [line.split() for line in text.splitlines() if line.startswith("errors")]
        return [Errors(float(forces), float(energy)) for _, forces, energy in lines]

    return Code(
        *("worker", "Worker", "pytest", "none"),
        command=lambda task: ["-c", script],
        begins="now training",
        log="output.txt",
        parse=parse,
    )


def run_code(
    script: str, seconds: float, folder: Path, see: Callable[[Any], None] = lambda curve: None
) -> Any:
    from benchmarking.codes.code import Task
    from benchmarking.training_run import train

    task = Task(1, 1, {}, seconds, 1)
    code = make_code(script)
    command = [sys.executable, *code.command(task)]
    return train(code, "Worker 1", command, task, folder, see)


def test_a_training_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors have the times at which they came; nothing that the command has started runs on."""
    monkeypatch.setenv("PYTHONPATH", "of this program alone")
    seen = []

    def interrupt(curve: Any) -> None:
        seen.append(curve)
        if len(curve.points) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_code(WORKER, 100.0, tmp_path, interrupt)
    curve = seen[-1]
    assert [point.errors.forces for point in curve.points] == [9.0, 8.0, 8.5]
    assert [point.errors.forces for point in curve.best_so_far] == [9.0, 8.0, 8.0]
    assert curve.start_up >= 0.5
    assert all(
        point.seconds >= earliest
        for point, earliest in zip(curve.points, (0.8, 1.1, 1.4), strict=True)
    )
    assert "now training 1 None" in (tmp_path / "output.txt").read_text()
    child = Path(f"/proc/{(tmp_path / 'child').read_text()}/stat")
    for _ in range(100):
        if not child.exists() or child.read_text().split()[2] == "Z":
            break
        time.sleep(0.1)
    else:
        pytest.fail("what the command has started still runs")


def test_a_training_is_stopped_in_time(tmp_path: Path) -> None:
    curve = run_code("import time; time.sleep(1000)", 0.3, tmp_path)
    assert curve.seconds >= 0.3
    assert curve.points == []
    assert curve.start_up is None


def test_a_training_that_ends_by_itself(tmp_path: Path) -> None:
    curve = run_code("print('now training\\nerrors 3 4')", 60.0, tmp_path)
    assert [tuple(point.errors) for point in curve.points] == [(3.0, 4.0)]
    assert curve.seconds < 60.0


def test_a_training_that_fails_is_told_with_its_last_lines(tmp_path: Path) -> None:
    from benchmarking.training_run import TrainingError

    with pytest.raises(TrainingError, match=r"status 3 after(?s:.*)the reason"):
        run_code("import sys; print('the reason'); sys.exit(3)", 60.0, tmp_path)


def test_finished_trainings_are_kept_and_others_are_not_mixed_with_them(
    task: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarking.accuracy import Contest, compete
    from benchmarking.training_run import TrainingError

    count = tmp_path / "count"
    good = f"open({str(count)!r}, 'a').write('x'); print('errors 3 4')"
    contest = Contest([make_code(good)], {}, {}, [], tmp_path)
    (curve,), failures = compete(contest, task)
    assert not failures
    assert compete(contest, task) == ([curve], [])
    assert count.read_text() == "x"
    with pytest.raises(TrainingError, match="threads: expected 1, it has 2"):
        compete(contest, task._replace(threads=1))
    compete(contest._replace(again=["worker"]), task)
    assert count.read_text() == "xx"

    failing = contest._replace(codes=[make_code("raise SystemExit(2)")], again=["worker"])
    assert compete(failing, task) == ([], [curve.title])
    assert "status 2" in capsys.readouterr().out


def test_what_is_not_installed_is_left_out(
    task: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarking.accuracy import Contest, compete
    from benchmarking.peers import MissingPeerError

    missing = make_code("")._replace(title="Absent", package="no-such-package-at-all")
    codes = [missing, make_code("print('errors 3 4')")]
    curves, _ = compete(Contest(codes, {}, {}, [], tmp_path), task)
    assert [curve.title.split()[0] for curve in curves] == ["Worker"]
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    assert line.startswith("Absent is left out: no-such-package-at-all is not installed")
    with pytest.raises(MissingPeerError, match="cannot be run"):
        compete(Contest(codes, {"worker": tmp_path / "python"}, {}, [], tmp_path), task)


@pytest.fixture
def curves() -> list[Any]:
    """Two codes: the second one is slower, and its errors rise at last."""
    from benchmarking.codes.code import Errors
    from benchmarking.curves import Curve, Point

    def curve(title: str, start: float | None, *points: tuple[float, float, float]) -> Any:
        return Curve(title, start, 300.0, [Point(s, Errors(f, e)) for s, f, e in points])

    fast = curve("fast 1", 5.0, (20.0, 90.0, 30.0), (55.0, 40.0, 20.0), (240.0, 10.0, 6.0))
    slow = curve("slow 2", None, (100.0, 80.0, 50.0), (200.0, 40.0, 7.0), (290.0, 44.0, 5.0))
    return [fast, slow]


def test_table(curves: list[Any]) -> None:
    from benchmarking.curves import curve_table

    lines = [line.split("  ") for line in curve_table(curves, 5.0).splitlines()]
    cells = {line[0]: [cell.strip() for cell in line[1:] if cell.strip()] for line in lines}
    assert cells["minutes"] == ["fast 1", "slow 2"]
    assert cells["0.5"] == ["90.0 | 30.0", "–"]
    assert cells["1"] == ["40.0 | 20.0", "–"]
    assert cells["2"] == ["40.0 | 20.0", "80.0 | 50.0"]
    assert cells["5"] == ["10.0 | 6.0", "40.0 | 7.0"]
    assert cells["training began after"] == ["5 s", "–"]
    assert lines[-1] == [
        "slow 2 reaches its 40.0 meV/Å after 3.3 min, fast 1 after 0.92 min: 4 times as fast"
    ]


def test_curves_are_written_drawn_and_read_again(curves: list[Any], tmp_path: Path) -> None:
    from benchmarking.curves import Curve, write_csv
    from benchmarking.plot import plot_curves

    write_csv(curves, tmp_path / "errors.csv")
    rows = list(csv.DictReader((tmp_path / "errors.csv").open()))
    assert len(rows) == 6
    assert rows[3] == {
        "code": "slow 2",
        "seconds": "100.0",
        "forces_rmse (meV/Å)": "80.0",
        "energy_rmse (meV)": "50.0",
    }
    plot_curves([*curves, curves[0]._replace(points=[])], "conditions", tmp_path / "image.png")
    assert (tmp_path / "image.png").read_bytes().startswith(b"\x89PNG")
    assert Curve.from_row(json.loads(json.dumps(curves[1].as_row()))) == curves[1]


@pytest.mark.slow
def test_molnet_trains(
    benchmark: ModuleType,
    labelled: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The real command, on a small network; a second call uses what the first one has kept."""
    threads = torch.get_num_threads()
    command = [
        *("accuracy", "--frames", str(labelled[0]), "--isolated-atoms", str(labelled[1])),
        *("--validation", "3", "--minutes", "2", "--threads", "1", "--codes", "molnet", "mace"),
        *("--molnet", "dataset.batch_size=3 model.channels=4 trainer.max_epochs=4"),
        *("--python", f"mace={sys.executable}", "--output", str(tmp_path / "out")),
    ]
    (curve,) = benchmark.main(command)
    assert len(curve.points) == 4
    history = list(csv.DictReader((tmp_path / "out/molnet/run/history.csv").open()))
    assert curve.points[-1].errors == (
        float(history[-1]["validation/forces_rmse (meV/Å)"]),
        float(history[-1]["validation/energy_rmse (meV)"]),
    )
    clock = [float(row["seconds"]) for row in history]
    for point, seconds in zip(curve.points, clock, strict=True):
        assert point.seconds > seconds  # molnet's own clock does not count the start
    assert 0 < curve.start_up < curve.points[0].seconds
    printed = capsys.readouterr().out
    assert "MACE is left out" in printed
    assert (tmp_path / "out" / "accuracy.png").is_file()
    assert (tmp_path / "out" / "errors.csv").is_file()

    assert benchmark.main(command) == [curve]
    assert "kept from an earlier run" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        benchmark.main([*command, "--threads", "2"])
    assert "Give --again molnet" in capsys.readouterr().err
    torch.set_num_threads(threads)
