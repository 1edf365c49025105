"""Structures that can be turned: 3Dmol.js draws them in the browser."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from molnet.report.block import Block, sentences
from molnet.report.charts import MANY_STEPS, thinned
from molnet.report.tables import Value, numeric, shown

MOST_COORDINATES = 100_000
"""Of a trajectory; beyond, frames are left out."""

MOST_FRAMES = 250
BROADENING = 10.0
"""Half width at half height of the lines of a spectrum, in cm⁻¹."""


class _Viewer(Block):
    scripts: ClassVar[tuple[str, ...]] = (
        *("3Dmol-min.js", "d3.min.js", "plot.umd.min.js"),
        *("charts.js", "structures.js"),
    )


@dataclass(frozen=True)
class Structure:
    """A structure of :class:`Structures`.

    Args:
        name: in the table.
        atoms: the structure.
        facts: further cells of the table by name of the column, the same for all structures.
        of_atoms: [N], a value for each atom, which colours the atoms.
    """

    name: str
    atoms: Atoms
    facts: Mapping[str, Value] = field(default_factory=dict)
    of_atoms: ArrayLike | None = None


@dataclass(frozen=True)
class Structures(_Viewer):
    """A table of structures, of which one is shown and can be turned.

    Args:
        structures: at least one.
        of_atoms: what the colours of the atoms stand for, with the unit.
    """

    kind: ClassVar[str] = "structures"

    structures: Sequence[Structure]
    of_atoms: str = ""

    def data(self) -> dict[str, Any]:
        return {
            "structures": [
                {
                    **_geometry([entry.atoms]),
                    "name": entry.name,
                    "values": entry.of_atoms,
                }
                for entry in self.structures
            ],
            "ofAtoms": self.of_atoms,
        }

    @property
    def header(self) -> list[str]:
        """Names of the columns of the table."""
        return ["structure", *self.structures[0].facts]

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers."""
        return numeric(self.cells)

    @property
    def cells(self) -> list[list[str]]:
        """The table."""
        return [
            [entry.name, *(shown(value) for value in entry.facts.values())]
            for entry in self.structures
        ]


@dataclass(frozen=True)
class Trajectory(_Viewer):
    """Structures one after the other, with curves on which a pointer chooses the frame.

    Serves dynamics (over time), relaxations (over steps) and scans (over a coordinate)::

        Trajectory(frames, times, {"temperature (K)": temperatures}, "time (ps)")
        Trajectory(frames, steps, {"energy (eV)": energies, "force (eV/Å)": forces}, "step")
        Trajectory(frames, angles, {"energy (meV)": energies}, "dihedral (°)")

    Args:
        frames: [F] structures with the same atoms in the same order, or at least one.
        x: [n] ascending, where the values belong: times, steps, a coordinate.
        values: [n] each, by label with the unit; one chart for each.
        x_label: with the unit.
        frames_at: [F] where the frames belong on the same axis; None: they are at ``x``.
    """

    kind: ClassVar[str] = "trajectory"

    frames: Sequence[Atoms]
    x: ArrayLike
    values: Mapping[str, ArrayLike]
    x_label: str
    frames_at: ArrayLike | None = None

    def __post_init__(self) -> None:
        if len(self.frames) != len(self._at):
            raise ValueError(
                f"expected as many frames as places on the axis, received {len(self.frames)} and "
                f"{len(self._at)}: give frames_at"
            )

    @property
    def _at(self) -> np.ndarray:
        return np.asarray(self.x if self.frames_at is None else self.frames_at, dtype=float)

    @property
    def _chosen(self) -> np.ndarray:
        most = MOST_COORDINATES // (3 * len(self.frames[0]) or 1)
        return thinned(len(self.frames), max(1, min(most, MOST_FRAMES)))

    def data(self) -> dict[str, Any]:
        chosen, at = self._chosen, self._at
        x = np.asarray(self.x, dtype=float)
        rows = thinned(len(x), MANY_STEPS)
        return {
            **_geometry([self.frames[i] for i in chosen]),
            "at": at[chosen],
            "x": x[rows],
            "values": {
                name: np.asarray(values, dtype=float)[rows] for name, values in self.values.items()
            },
            "xLabel": self.x_label,
        }

    @property
    def remarks(self) -> str:
        shown_frames = len(self._chosen)
        left_out = f"{shown_frames:,} of {len(self.frames):,} frames are in this page."
        return sentences(self.caption, left_out if shown_frames < len(self.frames) else "")


@dataclass(frozen=True)
class Modes(_Viewer):
    """The spectrum of normal modes; a click on a line or a row moves the structure along it.

    The attributes of :class:`molnet.simulate.vibrations.Vibrations` have the same names::

        Modes(v.atoms, v.frequencies, v.modes, v.intensities, v.indices)

    Args:
        atoms: the structure.
        frequencies: [M], cm⁻¹; imaginary ones negative.
        modes: [M, n, 3], displacements in any unit.
        intensities: [M], infrared, km/mol; None: all lines have the same height.
        indices: [n], the atoms that move; None: all.
    """

    kind: ClassVar[str] = "modes"

    atoms: Atoms
    frequencies: ArrayLike
    modes: ArrayLike
    intensities: ArrayLike | None = None
    indices: ArrayLike | None = None

    def data(self) -> dict[str, Any]:
        frequencies, modes = np.asarray(self.frequencies, float), np.asarray(self.modes, float)
        heights = None if self.intensities is None else np.asarray(self.intensities, float)
        grid, spectrum = _spectrum(frequencies, heights)
        moving = np.arange(len(self.atoms)) if self.indices is None else np.asarray(self.indices)
        whole = np.zeros((len(modes), len(self.atoms), 3))
        for mode, shape in enumerate(modes):
            whole[mode, moving] = shape / (np.linalg.norm(shape, axis=1).max() or 1.0)
        whole = whole @ _axes(self.atoms)
        return {
            **_geometry([self.atoms]),
            "frequencies": frequencies,
            "intensities": heights,
            "modes": whole.reshape(len(modes), -1).round(3),
            "grid": grid,
            "spectrum": spectrum,
        }

    @property
    def numeric(self) -> list[bool]:
        """All columns hold numbers."""
        return [True] * len(self.header)

    @property
    def cells(self) -> list[list[str]]:
        """The table: number, frequency, intensity."""
        frequencies = np.asarray(self.frequencies, float)
        columns = [
            [str(mode + 1) for mode in range(len(frequencies))],
            [f"{abs(f):.1f}{'i' if f < 0 else ''}" for f in frequencies],
        ]
        if self.intensities is not None:
            columns.append([f"{height:.1f}" for height in np.asarray(self.intensities, float)])
        return [list(row) for row in zip(*columns, strict=True)]

    @property
    def header(self) -> list[str]:
        """Names of the columns of the table."""
        return ["mode", "cm⁻¹", *([] if self.intensities is None else ["km/mol"])]


def _geometry(frames: Sequence[Atoms]) -> dict[str, Any]:
    """Symbols, positions in Å to 3 decimals (flat, frame by frame) and cells of a trajectory.

    Molecules are turned so that they lie flat in the window; all frames alike.
    """
    axes = _axes(frames[0])
    return {
        "symbols": frames[0].get_chemical_symbols(),
        "positions": [(atoms.positions @ axes).ravel().round(3) for atoms in frames],
        "cells": [atoms.cell.array.ravel().round(4) for atoms in frames]
        if _is_crystal(frames[0])
        else None,
    }


def _is_crystal(atoms: Atoms) -> bool:
    return bool(atoms.pbc.any()) and atoms.cell.rank == 3


def _axes(atoms: Atoms) -> np.ndarray:
    """[3, 3], a rotation (columns: axes of the window) to the principal axes of a molecule."""
    if _is_crystal(atoms) or len(atoms) < 2:
        return np.eye(3)
    centred = atoms.positions - atoms.positions.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=True)[2].T
    axes[:, 2] *= np.sign(np.linalg.det(axes))
    return axes


def _spectrum(
    frequencies: np.ndarray, intensities: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """A grid in cm⁻¹, and Lorentzians whose tops are the intensities (or 1) on it."""
    heights = np.ones(len(frequencies)) if intensities is None else intensities
    low = min(0.0, float(frequencies.min(initial=0.0)) - 100)
    grid = np.linspace(low, float(frequencies.max(initial=0.0)) + 200, 800)
    distance = (grid[:, None] - frequencies) / BROADENING
    return grid, (heights / (1 + distance**2)).sum(axis=1)
