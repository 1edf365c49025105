"""Symmetric powers: equivariant, complete, of unit variance, with weights of each species."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from molnet import o3
from molnet.kernels import RowGroups
from molnet.nn import SymmetricPower

IRREPS = "4x0e+4x1o+4x2e"


def of_one_species(rows: int) -> RowGroups:
    return RowGroups.of(torch.zeros(rows, dtype=torch.int64), 1)


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize(
    ("irreps_in", "irreps_out"),
    [(IRREPS, IRREPS), ("3x0e+3x1o", "3x0e+3x1e+3x2e"), ("2x0o+2x1e+2x2o", "2x0e+2x0o+2x1o")],
)
def test_equivariance(
    irreps_in: str, irreps_out: str, degree: int, equivariance_error: Callable[..., float]
) -> None:
    power = SymmetricPower(1, irreps_in, irreps_out, degree).double()

    def act(x: Tensor) -> Tensor:
        return power(x, of_one_species(len(x)))

    assert equivariance_error(act, [irreps_in], irreps_out, layout="ir_mul") < 1e-10


def test_broken_polynomials_are_not_equivariant(equivariance_error: Callable[..., float]) -> None:
    power = SymmetricPower(1, IRREPS, IRREPS, 3).double()
    broken = [
        piece._replace(terms=tuple((m, c * (1.01 if 10 <= m < 14 else 1)) for m, c in piece.terms))
        for piece in power.polynomials.pieces
    ]
    power.polynomials = replace(power.polynomials, pieces=tuple(broken))
    error = equivariance_error(
        lambda x: power(x, of_one_species(len(x))), [IRREPS], IRREPS, layout="ir_mul"
    )
    assert error > 1e-4


@pytest.mark.parametrize(("ir", "paths"), [("0e", 9), ("1o", 8), ("2e", 10)])
def test_all_products_are_there_and_none_twice(ir: str, paths: int) -> None:
    """As many independent polynomials as there are symmetric tensors of degree 1 to 3.

    Their number follows from characters: of Sym^n of 0e+1o+2e it is the multiplicity of the irrep.
    """
    power = SymmetricPower(1, "1x0e+1x1o+1x2e", f"1x{ir}", 3).double()
    assert power.polynomials.paths == paths == sum(multiplicity(ir, n) for n in (1, 2, 3))
    x = torch.randn(200, 9, dtype=torch.float64)
    columns = []
    with torch.no_grad():
        for path in range(paths):
            power.weight.zero_()
            power.weight[0, path] = 1
            columns.append(power(x, of_one_species(len(x))).flatten())
    assert torch.linalg.matrix_rank(torch.stack(columns)) == paths


def multiplicity(ir: str, degree: int) -> int:
    """How often an irrep is in a symmetric power: the mean of characters over O(3)."""
    irreps, wanted = o3.Irreps("0e+1o+2e"), o3.Irreps(ir)
    # Gauss–Legendre is exact for these trigonometric polynomials.
    angles = torch.linspace(0, torch.pi, 401, dtype=torch.float64)[1:]
    angles = angles - torch.pi / 800
    measure = (1 - torch.cos(angles)) / 400
    total = 0.0
    for inversion in (1.0, -1.0):
        for angle, weight in zip(angles, measure, strict=True):
            R = inversion * o3.axis_angle_to_matrix(torch.tensor([0.0, 1.0, 0.0]).double(), angle)
            powers = (torch.linalg.matrix_power(R, k) for k in (1, 2, 3))
            t1, t2, t3 = (irreps.D_from_matrix(power).trace() for power in powers)
            character = {1: t1, 2: (t1**2 + t2) / 2, 3: (t1**3 + 3 * t1 * t2 + 2 * t3) / 6}[degree]
            total += float(weight * character * wanted.D_from_matrix(R).trace()) / 2
    return round(total)


def test_unit_variance() -> None:
    power = SymmetricPower(1, "64x0e+64x1o+64x2e", "64x0e+64x1o+64x2e", 3)
    y = power(torch.randn(4000, power.irreps_in.dim), of_one_species(4000))
    for part in power.irreps_out.slices():
        assert 0.7 < float(y[:, part].square().mean()) < 1.4


def test_each_species_has_weights_of_its_own() -> None:
    power = SymmetricPower(3, IRREPS, IRREPS, 2)
    x = torch.randn(1, power.irreps_in.dim).expand(5, -1)
    species = torch.tensor([2, 0, 1, 0, 2])
    y = power(x, RowGroups.of(species, 3))
    assert torch.equal(y[0], y[4])
    assert torch.equal(y[1], y[3])
    assert not torch.allclose(y[0], y[1])
    assert not torch.allclose(y[1], y[2])


def test_degree_one_is_a_weight_for_each_channel() -> None:
    power = SymmetricPower(1, IRREPS, IRREPS, 1)
    x = torch.randn(3, power.irreps_in.dim)
    weights = power.weight.view(3, 4)  # of each irrep
    expected = torch.cat(
        [
            (x[:, part].view(3, ir.dim, 4) * w).flatten(1)
            for part, (_, ir), w in zip(
                power.irreps_in.slices(), power.irreps_in, weights, strict=True
            )
        ],
        dim=1,
    )
    torch.testing.assert_close(power(x, of_one_species(3)), expected)


@pytest.mark.parametrize(
    ("irreps_in", "irreps_out", "degree", "message"),
    [
        ("4x0e+3x1o", "4x0e", 2, "irreps of one multiplicity"),
        ("4x0e+4x0e", "4x0e", 2, "different irreps"),
        ("4x0e", "2x0e", 2, "irreps of one multiplicity"),
        ("4x0e", "4x0e", 0, "degree of at least 1"),
    ],
)
def test_what_is_refused(irreps_in: str, irreps_out: str, degree: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SymmetricPower(1, irreps_in, irreps_out, degree)
