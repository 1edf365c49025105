"""Pages of relaxations, dynamics, vibrations and scans, from what these return."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

import molnet
from molnet import report
from molnet.models import Model
from molnet.simulate.dynamics import Dynamics
from molnet.simulate.relaxation import relax
from molnet.simulate.vibrations import vibrations
from tests.report.harness import Page


@pytest.fixture(scope="module")
def model() -> Model:
    return molnet.load("organic", dtype="float64")


@pytest.fixture(scope="module")
def ethanol(model: Model) -> Atoms:
    (relaxed,) = relax(model, [molecule("CH3CH2OH")], fmax=1e-3)
    return relaxed.atoms


def drawn(path: Path) -> list[dict[str, Any]]:
    page = Page(path)
    assert page.misplaced == []
    return page.drawn


def test_relaxation(model: Model, ethanol: Atoms, tmp_path: Path) -> None:
    stretched = ethanol.copy()
    stretched.positions *= 1.03
    frames = [next(relax(model, [stretched], steps=steps)) for steps in range(6)]
    steps = [frame.steps for frame in frames]
    energies = [frame.atoms.get_potential_energy() for frame in frames]
    path = report.write(
        tmp_path / "report.html",
        "Relaxation of ethanol",
        [
            report.Section(
                "Relaxation",
                [
                    report.Trajectory(
                        [frame.atoms for frame in frames],
                        steps,
                        {
                            "energy (eV)": energies,
                            "largest force (eV/Å)": [frame.force for frame in frames],
                        },
                        "step",
                    )
                ],
            )
        ],
        headline={"energy": f"{energies[-1]:.4f} eV"},
    )
    (data,) = drawn(path)
    assert data["at"] == [0, 1, 2, 3, 4, 5]
    assert data["values"]["energy (eV)"] == pytest.approx(energies, rel=1e-5)
    # The page may turn the molecule, which keeps all distances.
    first = Atoms(data["symbols"], np.reshape(data["positions"][0], (-1, 3)))
    assert first.get_all_distances() == pytest.approx(stretched.get_all_distances(), abs=0.002)


def test_dynamics_with_fewer_frames_than_values(
    model: Model, ethanol: Atoms, tmp_path: Path
) -> None:
    dynamics = Dynamics(model, [ethanol], "nve", 300.0, steps=20)
    times, energies, temperatures, frames, frames_at = [], [], [], [], []
    while dynamics.done < dynamics.steps:
        dynamics.step()
        atoms = dynamics.atoms(0)
        times.append(dynamics.time)
        energies.append(float(dynamics.state.evaluation.energies[0]))
        temperatures.append(atoms.get_temperature())
        if dynamics.done % 5 == 0:
            frames.append(atoms)
            frames_at.append(dynamics.time)
    values = {"potential energy (eV)": energies, "temperature (K)": temperatures}
    trajectory = report.Trajectory(frames, times, values, "time (fs)", frames_at=frames_at)
    path = report.write(
        tmp_path / "report.html", "Dynamics", [report.Section("Trajectory", [trajectory])]
    )
    (data,) = drawn(path)
    assert len(data["positions"]) == len(data["at"]) == 4
    assert len(data["values"]["temperature (K)"]) == 20
    with pytest.raises(ValueError, match="received 4 and 20: give frames_at"):
        report.Trajectory(frames, times, values, "time (fs)")


def test_vibrations_of_some_atoms(model: Model, ethanol: Atoms, tmp_path: Path) -> None:
    found = vibrations(model, ethanol, indices=[2, 3])
    modes = report.Modes(
        found.atoms, found.frequencies, found.modes, found.intensities, found.indices
    )
    path = report.write(tmp_path / "report.html", "Modes", [report.Section("Modes", [modes])])
    (data,) = drawn(path)
    assert data["frequencies"] == pytest.approx(found.frequencies, rel=1e-5)
    shapes = np.reshape(data["modes"], (6, 9, 3))
    moving = np.abs(shapes).max(axis=(0, 2)) > 0
    assert np.flatnonzero(moving).tolist() == [2, 3]
    assert np.linalg.norm(shapes, axis=2).max(axis=1) == pytest.approx(np.ones(6), abs=0.002)


def test_scan_is_cut_to_what_a_page_holds(ethanol: Atoms, tmp_path: Path) -> None:
    angles = np.arange(0, 360, 0.5)
    frames = []
    for angle in angles:
        frames.append(ethanol.copy())
        frames[-1].set_dihedral(*_HYDROXYL, angle, indices=[3])
    energies = 0.05 * np.cos(np.radians(3 * angles))
    scan = report.Trajectory(frames, angles, {"energy (meV)": 1000 * energies}, "dihedral (°)")
    path = report.write(tmp_path / "report.html", "Scan", [report.Section("Scan", [scan])])
    (data,) = drawn(path)
    assert len(data["positions"]) == 250
    assert data["at"][0] == 0
    assert data["at"][-1] == 359.5
    assert "250 of 720 frames are in this page." in Page(path).text
    assert path.stat().st_size < 1_400_000


_HYDROXYL = (0, 1, 2, 3)  # C, C, O, H
