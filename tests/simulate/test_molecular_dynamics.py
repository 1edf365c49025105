"""Dynamics of structures in files: what is written, interruptions and kills, wrong folders."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import read, write

from molnet import load
from molnet.graph.frames import StructureFileError
from molnet.models import Model
from molnet.simulate import molecular_dynamics
from molnet.simulate.molecular_dynamics import DynamicsSettings, resume_dynamics, run_dynamics
from molnet.simulate.recording import Recording, RecordingError

MakeModel = Callable[..., Model]
SHORT = DynamicsSettings(time=0.08, timestep=2.0, interval=4)
FILES = ("trajectory-0.extxyz", "trajectory-1.extxyz", "log.csv")


@pytest.fixture
def crystals(tmp_path: Path) -> Path:
    path = tmp_path / "crystals.extxyz"
    write(path, [bulk("Cu", "fcc", a=3.4, cubic=True), bulk("Cu", "hcp", a=2.4, c=3.9)])
    return path


def test_a_run_leaves_trajectories_and_a_table(
    make_model: MakeModel, crystals: Path, tmp_path: Path
) -> None:
    summary = run_dynamics(make_model(), crystals, tmp_path / "run", SHORT)
    for place in range(2):
        frames = read(tmp_path / "run" / f"trajectory-{place}.extxyz", ":")
        assert [frame.info["time"] for frame in frames] == pytest.approx(range(0, 81, 8))
        assert frames[0].get_kinetic_energy() > 0
        assert np.abs(frames[-1].positions - frames[0].positions).max() > 1e-3
        calculator_energy = make_model().predict([frames[-1]])[0]["energy"]
        assert frames[-1].get_potential_energy() == pytest.approx(calculator_energy, abs=1e-6)
        assert "stress" in frames[-1].calc.results
    with (tmp_path / "run" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 22
    assert {row["structure"] for row in rows} == {"crystals 0", "crystals 1"}
    last = rows[-1]
    total = float(last["potential energy (eV)"]) + float(last["kinetic energy (eV)"])
    assert float(last["total energy (eV)"]) == pytest.approx(total, abs=2e-6)
    assert "crystals 1" in str(summary)
    assert summary.rows[0][0] == pytest.approx(0.08)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("steps", [0, 3, 4, 17, 38])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    make_model: MakeModel,
    crystals: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
) -> None:
    """The state is saved at every second frame, so files have more than the state knows of."""
    run_dynamics(make_model(), crystals, tmp_path / "whole", SHORT)

    save, step = Recording.save, molecular_dynamics.Dynamics.step
    monkeypatch.setattr(molecular_dynamics, "SECONDS_BETWEEN_SAVES", -1.0)

    def seldom(self: Recording, dynamics: molecular_dynamics.Dynamics) -> None:
        if dynamics.done % 8 == 0:
            save(self, dynamics)

    def killed(self: molecular_dynamics.Dynamics) -> None:
        if self.done == steps:
            raise Killed
        step(self)

    with monkeypatch.context() as patch:
        patch.setattr(Recording, "save", seldom)
        patch.setattr(molecular_dynamics.Dynamics, "step", killed)
        with pytest.raises(Killed):
            run_dynamics(make_model(), crystals, tmp_path / "killed", SHORT)
    resume_dynamics(make_model(), tmp_path / "killed")
    for name in FILES:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("room", [100, 9_000, 40_000])
def test_a_full_disk_keeps_what_was_saved(
    make_model: MakeModel,
    crystals: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    room: int,
) -> None:
    """No file can grow beyond a limit, which the kernel enforces in the middle of a write."""
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(molecular_dynamics, "SECONDS_BETWEEN_SAVES", -1.0)
    many = DynamicsSettings(time=0.2, timestep=2.0, interval=1)
    run_dynamics(make_model(), crystals, tmp_path / "whole", many)
    assert (tmp_path / "whole" / FILES[0]).stat().st_size > 40_000

    run, limits = tmp_path / "run", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(OSError, match=r"cannot write here \(File too large\)") as caught:
            run_dynamics(make_model(), crystals, run, many)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(run.glob("*.partial"))
    if room < 1000:
        assert "start again" in str(caught.value)
        run_dynamics(make_model(), crystals, run, many)
    else:
        assert f"continue it with resume={run}" in str(caught.value)
        resume_dynamics(make_model(), run)
    for name in FILES:
        assert (run / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_finished_run_can_be_prolonged(
    make_model: MakeModel, crystals: Path, tmp_path: Path
) -> None:
    half = DynamicsSettings(time=0.04, timestep=2.0, interval=4)
    run_dynamics(make_model(), crystals, tmp_path / "whole", SHORT)
    run_dynamics(make_model(), crystals, tmp_path / "half", half)
    resume_dynamics(make_model(), tmp_path / "half", time=0.08)
    for name in FILES:
        assert (tmp_path / "half" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with pytest.raises(ValueError, match=r"0\.08 ps of the run are done, received time=0\.02"):
        resume_dynamics(make_model(), tmp_path / "half", time=0.02)
    ramp = DynamicsSettings(time=0.04, timestep=2.0, temperatures=[10.0, 20.0])
    run_dynamics(make_model(), crystals, tmp_path / "ramp", ramp)
    with pytest.raises(ValueError, match=r"schedule of temperatures over 0\.04 ps"):
        resume_dynamics(make_model(), tmp_path / "ramp", time=0.08)


def test_replicas_differ(make_model: MakeModel, tmp_path: Path) -> None:
    write(tmp_path / "pair.xyz", Atoms("Cu2", [[0, 0, 0], [2.4, 0, 0]]))
    settings = DynamicsSettings(time=0.02, timestep=2.0, replicas=3)
    summary = run_dynamics(make_model(), tmp_path / "pair.xyz", tmp_path / "run", settings)
    assert summary.names == ["pair #1", "pair #2", "pair #3"]
    ends = [read(tmp_path / "run" / f"trajectory-{i}.extxyz").positions for i in range(3)]
    assert np.abs(ends[0] - ends[1]).max() > 1e-3
    assert np.abs(ends[1] - ends[2]).max() > 1e-3


def test_files_of_one_name_are_told_apart(make_model: MakeModel, tmp_path: Path) -> None:
    files = [tmp_path / name / "mol.xyz" for name in ("first", "second")]
    for file in files:
        file.parent.mkdir()
        write(file, bulk("Cu", "fcc", a=3.4, cubic=True))
    summary = run_dynamics(make_model(), [*files, files[0]], tmp_path / "run", SHORT)
    assert summary.names == ["first/mol", "second/mol", "first/mol (2)"]


@pytest.mark.parametrize("changed", [{"timestep": 0.0}, {"time": -1.0}])
def test_times_are_positive(changed: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected time > 0 ps and timestep > 0 fs"):
        _ = replace(SHORT, **changed).steps


def test_an_explosion_is_reported(
    make_model: MakeModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(
        tmp_path / "two.extxyz",
        [Atoms("Cu2", [[0, 0, 0], [1.2, 0, 0]]), Atoms("Cu2", [[0, 0, 0], [2.4, 0, 0]])],
    )
    summary = run_dynamics(make_model(), tmp_path / "two.extxyz", tmp_path / "run", SHORT)
    assert [end.place for end in summary.ended] == [0]
    assert "two 0 ended at step" in str(summary)
    assert "two 0 ended at step" in caplog.text
    assert summary.rows[1][0] == pytest.approx(0.08)


def test_the_last_structure_may_end_at_a_step_that_is_recorded(tmp_path: Path) -> None:
    write(tmp_path / "water.xyz", molecule("H2O"))
    settings = DynamicsSettings(time=0.1, timestep=20.0, interval=1)
    summary = run_dynamics(load("organic"), tmp_path / "water.xyz", tmp_path / "run", settings)
    assert [end.place for end in summary.ended] == [0]
    assert "exploded" in summary.ended[0].reason


def test_what_leaves_the_domain_ends(
    make_model: MakeModel, crystals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def distances(self: molecular_dynamics.Dynamics) -> np.ndarray:
        return np.array([0.5, 0.1 * self.done])[: len(self.running)]

    monkeypatch.setattr(molecular_dynamics.Dynamics, "distances", distances)
    summary = run_dynamics(
        make_model(),
        crystals,
        tmp_path / "run",
        DynamicsSettings(time=0.08, timestep=2.0, interval=4, stop_distance=2.0),
    )
    (end,) = summary.ended
    assert (end.place, end.step) == (1, 24)
    assert "domain_distance 2.4 > 2" in end.reason
    assert read(tmp_path / "run" / "trajectory-0.extxyz").info["domain_distance"] == 0.5


def test_folders_that_are_no_place_for_a_run(
    make_model: MakeModel, crystals: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecordingError, match="holds no run of dynamics"):
        resume_dynamics(make_model(), tmp_path)
    run_dynamics(make_model(), crystals, tmp_path / "run", SHORT)
    before = (tmp_path / "run" / "log.csv").read_bytes()
    with pytest.raises(RecordingError, match=r"holds a run already\. Continue it with resume="):
        run_dynamics(make_model(), crystals, tmp_path / "run", SHORT)
    assert (tmp_path / "run" / "log.csv").read_bytes() == before
    with (
        Recording(tmp_path / "run", 2).reserved(),
        pytest.raises(RecordingError, match="another process"),
    ):
        resume_dynamics(make_model(), tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("state.npz", "cannot go on from"),
        ("settings.json", "is damaged"),
        ("start.traj", "cannot be read"),
        ("log.csv", "it was cut or replaced"),
    ],
)
def test_damaged_files_are_named(
    make_model: MakeModel, crystals: Path, tmp_path: Path, name: str, words: str
) -> None:
    run_dynamics(make_model(), crystals, tmp_path / "run", SHORT)
    path = tmp_path / "run" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RecordingError, match=words) as caught:
        resume_dynamics(make_model(), tmp_path / "run")
    assert name in str(caught.value)


def test_settings_without_an_entry_are_damaged(
    make_model: MakeModel, crystals: Path, tmp_path: Path
) -> None:
    run_dynamics(make_model(), crystals, tmp_path / "run", SHORT)
    path = tmp_path / "run" / "settings.json"
    settings = json.loads(path.read_text())
    del settings["timestep"]
    path.write_text(json.dumps(settings))
    with pytest.raises(RecordingError, match="lacks 'timestep'"):
        resume_dynamics(make_model(), tmp_path / "run")


def test_faulty_structures_are_named_by_file_and_frame(
    make_model: MakeModel, tmp_path: Path
) -> None:
    write(tmp_path / "two.extxyz", [molecule("H2"), molecule("SiH4")])
    with pytest.raises(StructureFileError, match=r"two.extxyz, frame 1: the structure holds Si"):
        run_dynamics(make_model(), tmp_path / "two.extxyz", tmp_path / "run", SHORT)
    assert not (tmp_path / "run" / "settings.json").exists()
