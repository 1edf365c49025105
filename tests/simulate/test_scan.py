"""Scans: rigid ones are single predictions, relaxed ones have no force but along the coordinate."""

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.lj import LennardJones

import molnet
from molnet.models import Model
from molnet.simulate.internal_coordinate import CoordinateError, InternalCoordinate
from molnet.simulate.relaxation import Relaxed, relax
from molnet.simulate.scan import Scan, scan
from tests.simulate.conftest import SIGMA

MakeModel = Callable[..., Model]


@pytest.fixture(scope="module")
def organic() -> Model:
    return molnet.load("organic", dtype="float64")


def test_a_rigid_scan_is_the_formula_of_the_potential(
    make_model: MakeModel, reference: LennardJones
) -> None:
    dimer = Atoms("CuH", [[0, 0, 0], [0.5, 0.3, 2.0]])
    distances = np.linspace(2.0, 4.5, 11)
    found = scan(make_model(), dimer, (0, 1), distances, relaxed=False)
    for distance, atoms, energy in zip(distances, found.structures, found.energies, strict=True):
        assert atoms.get_distance(0, 1) == pytest.approx(distance)
        atoms.calc = reference
        assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-10)
    lowest = found.extrema()[0]
    assert [distances[place] for place in lowest] == pytest.approx([2 ** (1 / 6) * SIGMA], abs=0.2)
    assert found.relative.min() == 0
    np.testing.assert_allclose(
        np.diff(found.relative), np.diff(found.energies) * 96.4853, rtol=1e-5
    )


def test_a_rigid_scan_of_a_torsion_equals_direct_predictions(organic: Model) -> None:
    ethanol = molecule("CH3CH2OH")
    angles = np.linspace(180, 300, 5)
    found = scan(organic, ethanol, (0, 1, 2, 3), angles, relaxed=False)
    turned = []
    for angle in angles:
        turned.append(ethanol.copy())
        turned[-1].set_dihedral(0, 1, 2, 3, angle, indices=[3])
    expected = [prediction["energy"] for prediction in organic.predict(turned)]
    np.testing.assert_allclose(found.energies, expected, atol=1e-6)
    assert found.converged


@pytest.mark.parametrize(
    ("atoms", "values"),
    [((0, 1), [1.4, 1.6]), ((0, 1, 2), [100.0, 120.0]), ((0, 1, 2, 3), [90.0, 150.0])],
)
def test_a_relaxed_scan_has_no_force_but_along_the_coordinate(
    organic: Model, atoms: tuple[int, ...], values: list[float]
) -> None:
    ethanol = molecule("CH3CH2OH")
    before = ethanol.positions.copy()
    relaxed = scan(organic, ethanol, atoms, values, fmax=0.005)
    rigid = scan(organic, ethanol, atoms, values, relaxed=False)
    np.testing.assert_array_equal(ethanol.positions, before)
    assert relaxed.converged
    assert (relaxed.energies < rigid.energies).all()
    coordinate = InternalCoordinate(atoms)
    for structure, value in zip(relaxed.structures, values, strict=True):
        assert coordinate.value(structure) == pytest.approx(value, abs=1e-6)
        assert not structure.constraints
        forces = organic.predict(structure)["forces"]
        gradient = coordinate.gradient(structure)
        along = gradient * (gradient * forces).sum() / (gradient**2).sum()
        assert np.linalg.norm(forces - along, axis=1).max() < 0.0051
        assert np.linalg.norm(along, axis=1).max() > 0.05, "it would go back if it could"


def test_a_full_turn_ends_where_it_began(organic: Model) -> None:
    found = scan(organic, molecule("CH3CH2OH"), (0, 1, 2, 3), np.linspace(0, 360, 13))
    assert found.closed
    assert found.energies[0] == pytest.approx(found.energies[-1], abs=1e-3)
    # The molecule has a mirror plane, so the path has one too.
    np.testing.assert_allclose(found.energies, found.energies[::-1], atol=1e-3)
    assert np.ptp(found.relative) > 2  # kJ/mol
    minima, maxima = found.extrema()
    assert len(minima) == len(maxima) == 3
    assert maxima[0] == 0
    assert 12 not in maxima, "the same point is not told twice"


def test_a_ring_gives_way(organic: Model) -> None:
    ring = next(relax(organic, [molecule("cyclobutane")])).atoms
    coordinate = InternalCoordinate((0, 2, 1, 3))
    start = coordinate.value(ring)
    found = scan(organic, ring, coordinate, start + np.linspace(-10, 10, 3))
    assert found.converged
    assert found.energies.argmin() == 1
    with pytest.raises(CoordinateError, match="a ring"):
        scan(organic, ring, coordinate, [start], relaxed=False)


def test_a_lower_structure_of_a_neighbour_spreads(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One point of the first round finds another minimum, which all others then take over."""
    calls: list[int] = []

    def found(model: object, structures: list[Atoms], **_: object) -> list[Relaxed]:
        calls.append(len(structures))
        relaxed = []
        for place, atoms in enumerate(structures):
            end = atoms.copy()
            if len(calls) == 1 and place == 2:
                end.numbers[0] = 6  # what marks the lower minimum and comes along
            end.calc = type(
                "Known",
                (),
                {"get_potential_energy": lambda self, a, *_, **__: -1.0 * (a.numbers[0] == 6)},
            )()
            relaxed.append(Relaxed(place, end, True, 1, 0.0, 0.0))
        return relaxed

    monkeypatch.setattr("molnet.simulate.scan.relax", found)
    dimer = Atoms("CuH", [[0, 0, 0], [0, 0, 2.0]])
    result = scan(make_model(), dimer, (0, 1), [2.0, 2.1, 2.2, 2.3, 2.4, 2.5])
    assert result.energies.tolist() == [-1.0] * 6
    assert result.taken == 5
    for value, atoms in zip(result.values, result.structures, strict=True):
        assert atoms.get_distance(0, 1) == pytest.approx(value)
    assert calls[:2] == [6, 10]


def test_a_point_at_fault_stops_no_other(make_model: MakeModel) -> None:
    three = Atoms("CuHH", [[0, 0, 0], [0, 0, 2.4], [0, 0, 5.0]])
    found = scan(make_model(), three, (1, 2), [1e-5, 2.4], relaxed=False)
    assert "same place" in str(found.points[0].fault)
    assert not found.converged
    assert np.isnan(found.energies).tolist() == [True, False]


def test_what_cannot_be_scanned_is_refused(make_model: MakeModel) -> None:
    water = molecule("H2O")
    with pytest.raises(CoordinateError, match="at least one value"):
        scan(make_model(), water, (0, 1), [])
    with pytest.raises(CoordinateError, match="from 0 to 2, received 7"):
        scan(make_model(), water, (0, 7), [1.0])
    with pytest.raises(CoordinateError, match="angles from 1 to 179"):
        scan(make_model(), water, (1, 0, 2), [190.0])


def test_extrema_of_a_closed_path_go_round() -> None:
    class Known(Scan):
        energies = np.array([3.0, 1.0, 2.0, 0.0, 3.0])

    closed = Known(InternalCoordinate((0, 1, 2, 3)), np.linspace(0, 360, 5), [], True)
    assert closed.extrema() == ([1, 3], [0, 2])
    opened = Known(InternalCoordinate((0, 1)), np.linspace(1, 2, 5), [], True)
    assert opened.extrema() == ([1, 3], [2])
