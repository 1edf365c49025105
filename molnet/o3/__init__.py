"""Representations of O(3): irreps, rotations, Wigner matrices, spherical harmonics, products."""

from molnet.o3.cartesian import CartesianTensor
from molnet.o3.instructions import Instruction
from molnet.o3.irrep import Irrep, MulIrrep
from molnet.o3.irreps import Irreps
from molnet.o3.layout import Layout, change_layout
from molnet.o3.linear import Linear
from molnet.o3.norm import Norm
from molnet.o3.reduced_tensor_products import ReducedTensorProducts
from molnet.o3.rotation import (
    angles_to_axis_angle,
    angles_to_matrix,
    angles_to_quaternion,
    angles_to_xyz,
    axis_angle_to_angles,
    axis_angle_to_matrix,
    axis_angle_to_quaternion,
    compose_angles,
    compose_axis_angle,
    compose_quaternion,
    identity_angles,
    identity_quaternion,
    inverse_angles,
    inverse_quaternion,
    matrix_to_angles,
    matrix_to_axis_angle,
    matrix_to_quaternion,
    matrix_x,
    matrix_y,
    matrix_z,
    quaternion_to_angles,
    quaternion_to_axis_angle,
    quaternion_to_matrix,
    rand_angles,
    rand_axis_angle,
    rand_matrix,
    rand_quaternion,
    xyz_to_angles,
)
from molnet.o3.spherical_harmonics import SphericalHarmonics, spherical_harmonics
from molnet.o3.tensor_product import TensorProduct
from molnet.o3.tensor_product_variants import (
    ElementwiseTensorProduct,
    FullTensorProduct,
    FullyConnectedTensorProduct,
    TensorSquare,
)
from molnet.o3.wigner import (
    change_basis_real_to_complex,
    so3_generators,
    su2_generators,
    wigner_3j,
    wigner_D,
)

__all__ = [
    "angles_to_axis_angle",
    "angles_to_matrix",
    "angles_to_quaternion",
    "angles_to_xyz",
    "axis_angle_to_angles",
    "axis_angle_to_matrix",
    "axis_angle_to_quaternion",
    "CartesianTensor",
    "change_basis_real_to_complex",
    "change_layout",
    "compose_angles",
    "compose_axis_angle",
    "compose_quaternion",
    "ElementwiseTensorProduct",
    "FullTensorProduct",
    "FullyConnectedTensorProduct",
    "identity_angles",
    "identity_quaternion",
    "inverse_angles",
    "inverse_quaternion",
    "Instruction",
    "Irrep",
    "Irreps",
    "Layout",
    "Linear",
    "matrix_to_angles",
    "matrix_to_axis_angle",
    "matrix_to_quaternion",
    "matrix_x",
    "matrix_y",
    "matrix_z",
    "MulIrrep",
    "Norm",
    "quaternion_to_angles",
    "quaternion_to_axis_angle",
    "quaternion_to_matrix",
    "rand_angles",
    "rand_axis_angle",
    "rand_matrix",
    "rand_quaternion",
    "ReducedTensorProducts",
    "so3_generators",
    "spherical_harmonics",
    "SphericalHarmonics",
    "su2_generators",
    "TensorProduct",
    "TensorSquare",
    "wigner_3j",
    "wigner_D",
    "xyz_to_angles",
]
