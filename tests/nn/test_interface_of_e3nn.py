"""Whoever knows e3nn knows these modules: names, arguments, defaults, attributes, printed forms."""

import inspect
from typing import Any

import pytest
import torch
from e3nn import io as e3nn_io
from e3nn import math as e3nn_math
from e3nn import nn as e3nn_nn
from e3nn import o3 as e3nn_o3

from molnet import nn, o3

X = "3x0e + 2x1o + 1x0o + 2x2e"
silu, sigmoid, tanh = torch.nn.functional.silu, torch.sigmoid, torch.tanh

NOT_PROVIDED = {
    # harmonics on grids of the sphere and of rotations
    *("FromS2Grid", "ToS2Grid", "SO3Grid", "s2_grid", "rfft", "irfft", "Legendre"),
    *("SphericalHarmonicsAlphaBeta", "spherical_harmonics_alpha", "spherical_harmonics_alpha_beta"),
    *("spherical_harmonics_s2_grid", "S2Activation", "SO3Activation"),
    "FullTensorProductv2",  # the same as FullTensorProduct
}
CODE_GENERATION = {
    *("compile_left_right", "compile_right", "normalization"),
    *("_specialized_code", "_optimize_einsums", "kwargs"),
}
"""Arguments about code that e3nn generates, and a deprecated one."""

OURS = {"layout", "dtype", "device", "options"}
"""Arguments that e3nn does not have."""


def public_names(package: Any) -> list[str]:
    return [
        name
        for name in dir(package)
        if not name.startswith("_") and not inspect.ismodule(getattr(package, name))
    ]


def arguments(function: Any) -> list[tuple[str, Any]]:
    """Names and defaults in order, without those that only one of the two has."""
    return [
        (name, parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in CODE_GENERATION | OURS
    ]


SHARED = [
    *((e3nn_o3, o3, name) for name in public_names(e3nn_o3) if name not in NOT_PROVIDED),
    *((e3nn_nn, nn, name) for name in public_names(e3nn_nn) if name not in NOT_PROVIDED),
    *((e3nn_math, nn, name) for name in ("soft_one_hot_linspace", "soft_unit_step", "bessel")),
    (e3nn_math, nn, "normalize2mom"),
    (e3nn_io, o3, "CartesianTensor"),
]


@pytest.mark.parametrize(("theirs", "ours", "name"), SHARED, ids=lambda value: str(value)[:30])
def test_names_and_arguments(theirs, ours, name):
    assert name in ours.__all__
    given, expected = getattr(ours, name), getattr(theirs, name)
    assert arguments(given) == arguments(expected)
    positional = inspect.signature(given).parameters
    if "layout" in positional:  # last, so that no argument of e3nn's comes to mean a layout
        after = list(positional)[list(positional).index("layout") + 1 :]
        assert all(positional[other].kind is inspect.Parameter.VAR_KEYWORD for other in after)


METHODS = [
    (cls, name)
    for cls in (e3nn_o3.Irrep, e3nn_o3.Irreps, e3nn_io.CartesianTensor)
    for name in dir(cls)
    if not name.startswith("_") and not hasattr(tuple, name)
]


@pytest.mark.parametrize(("theirs", "name"), METHODS, ids=lambda value: str(value)[-30:])
def test_methods_of_representations(theirs, name):
    expected = inspect.getattr_static(theirs, name)
    ours = getattr(o3, theirs.__name__)
    given = inspect.getattr_static(ours, name)
    if isinstance(expected, property):
        assert isinstance(given, property)
    else:
        assert arguments(getattr(ours, name)) == arguments(getattr(theirs, name))


PATHS = [(0, 0, 0, "uuu", True), (1, 1, 0, "uvw", True, 2.0)]
EXAMPLES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("Linear", (X, "2x0e + 2x1o + 1x1e"), {}),
    ("Linear", (X, "2x0e + 2x1o"), {"biases": True, "path_normalization": "path"}),
    ("Linear", (X, X), {"f_in": 2, "f_out": 3, "instructions": [(1, 1)]}),
    ("TensorProduct", ("2x0e + 1o", "2x0e + 1x1o", "2x0e + 2x1o", PATHS), {}),
    ("TensorProduct", ("2x0e", "2x0e", "0e", [(0, 0, 0, "uvw", True)]), {"shared_weights": False}),
    ("TensorProduct", ("2x0e", "2x0e", "2x0e", [(0, 0, 0, "uuu", False)]), {}),
    ("FullyConnectedTensorProduct", (X, X, "2x0e + 1o + 3o"), {"internal_weights": False}),
    ("ElementwiseTensorProduct", ("5x1o", "5x0e"), {}),
    ("FullTensorProduct", ("2x1o", "1o + 0e"), {}),
    ("TensorSquare", ("2x1o + 0e",), {}),
    ("TensorSquare", ("2x1o + 0e", "3x0e"), {}),
    ("Norm", (X,), {}),
    ("ReducedTensorProducts", ("ij=ji",), {"i": "1o"}),
    ("SphericalHarmonics", ("0e + 1o", True), {}),
    ("Gate", ("2x0e", [tanh], "2x0e", [sigmoid], "2x1o"), {}),
    ("Activation", ("2x0e + 1x0o", [silu, tanh]), {}),
    ("Activation", ("2x0e + 1x1o", [silu, None]), {}),
    ("NormActivation", ("2x0e + 1x1o", sigmoid), {}),
    ("Extract", ("1e + 0e + 0e", ["0e", "0e"], [(1,), (2,)]), {}),
    ("ExtractIr", ("2x0e + 1o + 0e", "0e"), {}),
    ("Identity", ("0e + 1o", "0e + 1o"), {}),
    ("Dropout", ("0e + 1o", 0.5), {}),
    ("FullyConnectedNet", ([3, 4, 5], silu), {}),
    ("BatchNorm", ("2x0e + 1o",), {"eps": 1e-3}),
    ("BatchNorm", ("2x0e + 1o",), {"instance": True, "affine": False}),
]

PARTS = {
    *("mul", "sc", "tp", "main", "scalar_multiplier", "sph_func"),
    *("paths", "features", "irs", "visualize"),
}
"""What e3nn's modules are made of inside, and a plot."""

SHOWN_MORE = ("SphericalHarmonics", "NormActivation", "Extract", "ExtractIr")
"""e3nn prints these as any module of PyTorch, without their irreps."""


@pytest.mark.parametrize(("name", "given", "options"), EXAMPLES)
def test_attributes_and_printed_forms(name, given, options):
    packages = (e3nn_o3, o3) if hasattr(o3, name) else (e3nn_nn, nn)
    theirs, ours = (getattr(package, name)(*given, **options) for package in packages)
    if name in SHOWN_MORE:
        assert str(ours.irreps_in) in repr(ours)
    else:
        assert repr(ours) == repr(theirs)
    assert arguments(ours.forward) == arguments(theirs.forward)

    of_any_module = dir(torch.nn.Sequential()) + list(PARTS)
    for attribute in set(dir(theirs)) - set(of_any_module):
        if attribute.startswith("_"):
            continue
        value, expected = getattr(ours, attribute), getattr(theirs, attribute)
        if isinstance(expected, torch.nn.Parameter):
            assert value.shape == expected.shape
        elif isinstance(expected, torch.Tensor):
            assert torch.equal(value, expected)
        elif isinstance(expected, bool | int | float | e3nn_o3.Irreps):
            assert value == expected
