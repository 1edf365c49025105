"""The species-dependent linear map against a loop over atoms and a tensor product."""

import pytest
import torch
from e3nn import o3 as e3nn_o3

from molnet.kernels import RowGroups
from molnet.nn.species_linear import SpeciesLinear
from molnet.o3.irreps import Irreps
from molnet.o3.layout import change_layout

IRREPS_IN, IRREPS_OUT = "4x0e+3x1o+2x2e", "2x0o+5x0e+2x1o+3x2e"


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("species", [[0, 2, 2, 0, 2], [1], []])
def test_equals_a_map_chosen_atom_by_atom(species: list[int]) -> None:
    linear = SpeciesLinear(3, IRREPS_IN, IRREPS_OUT)
    index = torch.tensor(species, dtype=torch.int64)
    x = torch.randn(len(species), Irreps(IRREPS_IN).dim, dtype=torch.float64)

    found = linear(change_layout(x, IRREPS_IN, "mul_ir", "ir_mul"), RowGroups.of(index, 3))

    product = e3nn_o3.FullyConnectedTensorProduct(
        IRREPS_IN, "3x0e", IRREPS_OUT, path_normalization="none", irrep_normalization="norm"
    )
    with torch.no_grad():
        for instruction, view in zip(product.instructions, product.weight_views(), strict=True):
            ir = product.irreps_in1[instruction.i_in1].ir
            ours = linear.weight_views()[str(ir)]  # [S, U, V]
            view.copy_(ours.permute(1, 0, 2) * ours.shape[1] ** -0.5)
    one_hot = torch.nn.functional.one_hot(index, 3).double()
    expected = product(x, one_hot) if species else x.new_zeros(0, Irreps(IRREPS_OUT).dim)
    torch.testing.assert_close(
        change_layout(found, IRREPS_OUT, "ir_mul", "mul_ir"), expected, rtol=0, atol=1e-12
    )


def test_unsorted_irreps_are_refused() -> None:
    with pytest.raises(ValueError, match="sorted and simplified"):
        SpeciesLinear(2, "1x1o+1x0e", "1x0e")
