"""Pointwise nonlinearities on scalars, scaled to preserve the second moment."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from molnet.o3.irrep import MulIrrep
from molnet.o3.irreps import Irreps, IrrepsLike
from molnet.o3.layout import cat, check_features

ScalarFunction = Callable[[Tensor], Tensor]


class NormalizedFunction(torch.nn.Module):
    r"""A scalar function times the constant that gives it a unit second moment.

    .. math:: c\, f(x), \qquad c^{-2} = \langle f(z)^2 \rangle_{z \sim N(0, 1)}

    Args:
        f: the function.
        cst: the constant c.
    """

    def __init__(self, f: ScalarFunction, cst: float) -> None:
        super().__init__()
        self.f = f
        self.cst = cst

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate ``cst * f(x)``, any shape."""
        return self.f(x) if self.cst == 1.0 else self.f(x) * self.cst

    def extra_repr(self) -> str:
        return f"{_name(self.f)}, cst={self.cst:.6g}"


def normalize2mom(f: ScalarFunction) -> NormalizedFunction:
    """Scale a scalar function to unit second moment under a standard normal distribution.

    The moment is a mean over one fixed sample, the one e3nn draws, so that the constants agree with
    e3nn's; a constant within 1e-4 of one is left out.

    >>> round(normalize2mom(torch.tanh).cst, 4)
    1.5937
    """
    constant = _constant_of_module(f) if isinstance(f, torch.nn.Module) else _constant(f)
    return NormalizedFunction(f, 1.0 if abs(constant - 1) < 1e-4 else constant)


class Activation(torch.nn.Module):
    """Scalar nonlinearities on chosen entries of the irreps; the others pass unchanged.

    Each function is scaled to unit second moment (:func:`normalize2mom`). Under inversion an odd
    scalar (``0o``) changes sign, so its function must be even (the result is ``0e``) or odd
    (``0o``); an even scalar takes any function. The result is the same in both layouts, as scalars
    have one component.

    Args:
        irreps_in: irreps of the input.
        acts: one function, or None, for each entry of ``irreps_in``.

    Raises:
        ValueError: a function on a non-scalar, or one without parity on an odd scalar.

    >>> Activation("256x0o", [torch.abs]).irreps_out
    256x0e
    >>> Activation("256x0o+16x1e", [None, None]).irreps_out
    256x0o+16x1e
    """

    def __init__(self, irreps_in: IrrepsLike, acts: Sequence[ScalarFunction | None]) -> None:
        super().__init__()
        irreps_in = Irreps(irreps_in)
        if len(irreps_in) != len(acts):
            raise ValueError(
                f"acts must hold one function (or None) for each of the {len(irreps_in)} entries "
                f"of irreps_in={irreps_in}, got {len(acts)}"
            )
        irreps_out = []
        for entry, act in zip(irreps_in, acts, strict=True):
            if act is None:
                irreps_out.append(entry)
            elif entry.ir.l != 0:
                raise ValueError(
                    f"an activation acts on scalars alone, but {_name(act)} was given for {entry} "
                    f"in {irreps_in}: applied to each component it would break rotational "
                    "symmetry. Use None, NormActivation, or Gate"
                )
            else:
                p = entry.ir.p if entry.ir.p == 1 else _parity(act, str(entry))
                irreps_out.append(MulIrrep(entry.mul, (0, p)))

        self.irreps_in = irreps_in
        self.irreps_out = Irreps(irreps_out)
        self.acts = torch.nn.ModuleList(
            [None if act is None else normalize2mom(act) for act in acts]  # type: ignore[misc]
        )
        self._runs = _runs([entry.dim for entry in irreps_in], acts)

    @property
    def applied(self) -> list[torch.nn.Module | None]:
        """The function that :meth:`forward` applies to each entry: neighbours may share one."""
        firsts = [first for _, first in self._runs]
        return [self.acts[max(f for f in firsts if f <= i)] for i in range(len(self.acts))]

    def forward(self, features: Tensor, dim: int = -1) -> Tensor:
        """Apply the functions to features ``[..., irreps_in.dim]``.

        Args:
            dim: the axis of the features, if not the last.
        """
        if dim not in (-1, features.dim() - 1):
            return self(features.movedim(dim, -1)).movedim(-1, dim)
        check_features(features, self.irreps_in, "features of Activation")
        if all(act is None for act in self.acts):
            return features
        if len(self._runs) == 1:
            return self.acts[0](features)
        sizes = [size for size, _ in self._runs]
        parts = []
        for part, (_, first) in zip(features.split(sizes, -1), self._runs, strict=True):
            act = self.acts[first]
            parts.append(part if act is None else act(part))
        return cat(parts, -1)

    def __repr__(self) -> str:
        acts = "".join(" " if act is None else "x" for act in self.acts)
        return f"{type(self).__name__} [{acts}] ({self.irreps_in} -> {self.irreps_out})"


def _runs(sizes: Sequence[int], acts: Sequence[ScalarFunction | None]) -> list[tuple[int, int]]:
    """Join neighbours that share a function: (total size, index of the first) of each run."""
    runs: list[tuple[int, int]] = []
    for i, (size, act) in enumerate(zip(sizes, acts, strict=True)):
        if runs and acts[runs[-1][1]] is act:
            runs[-1] = (runs[-1][0] + size, runs[-1][1])
        else:
            runs.append((size, i))
    return runs


def _parity(f: ScalarFunction, entry: str) -> int:
    """+1 for an even function, -1 for an odd one; a ValueError for neither."""
    with torch.no_grad():
        x = torch.linspace(0, 10, 256, dtype=torch.float64)
        x = _like_parameters(x, f) if isinstance(f, torch.nn.Module) else x
        positive, negative = f(x), f(-x)
    if (positive - negative).abs().max() < 1e-5:
        return 1
    if (positive + negative).abs().max() < 1e-5:
        return -1
    raise ValueError(
        f"{_name(f)} has no parity: it is neither even, f(-x) = f(x), nor odd, f(-x) = -f(x), but "
        f"was given for the odd scalars {entry}. Under inversion these change sign, and the result "
        "would be neither 0e nor 0o. Use an odd function such as tanh or an even one such as abs"
    )


def _second_moment_constant(f: ScalarFunction, z: Tensor) -> float:
    with torch.no_grad():
        return f(z).double().pow(2).mean().pow(-0.5).item()


@lru_cache(maxsize=64)
def _constant(f: ScalarFunction) -> float:
    return _second_moment_constant(f, _normal_sample())


def _constant_of_module(f: torch.nn.Module) -> float:
    # not cached: the parameters of a module change
    return _second_moment_constant(f, _like_parameters(_normal_sample(), f))


def _normal_sample() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1_000_000, generator=generator, dtype=torch.float64, device="cpu")


def _like_parameters(x: Tensor, module: torch.nn.Module) -> Tensor:
    parameter = next(module.parameters(), None)
    return x if parameter is None else x.to(parameter)


def _name(f: ScalarFunction) -> str:
    return getattr(f, "__name__", type(f).__name__)
