"""Where the weights of a module's paths live, and how to look at them path by path."""

import math
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from molnet.o3.irreps import Irreps


class PathWeights(torch.nn.Module):
    """Base of the modules that keep the weights of all their paths in one flat tensor.

    The weights of the paths follow each other in ``weight``, each flattened from its
    ``path_shape``. They are *internal* (a parameter, drawn from a normal distribution) or given at
    each call; *shared* (``[weight_numel]``, one set for the whole batch) or one set for each
    element of the batch (``[..., weight_numel]``). Without internal weights, ``weight`` is an empty
    tensor, as in e3nn.

    Args:
        path_shapes: shape of the weights of each instruction; None for one without weights.
        internal_weights: whether the module holds its weights. By default it does if they are
            shared.
        shared_weights: whether all elements of a batch share one set of weights. Default True.
        prefix_shape: axes before the last of the weight tensor.
    """

    irreps_out: Irreps
    instructions: Sequence[Any]
    weight: Tensor

    def __init__(
        self,
        path_shapes: Sequence[tuple[int, ...] | None],
        internal_weights: bool | None,
        shared_weights: bool | None,
        prefix_shape: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        if shared_weights is None:
            shared_weights = True
        if internal_weights is None:
            internal_weights = shared_weights
        if internal_weights and not shared_weights:
            raise ValueError(
                "internal weights are shared by the whole batch: internal_weights=True needs "
                "shared_weights=True. For one set of weights per element use "
                "internal_weights=False, shared_weights=False and pass the weights to forward."
            )
        self._path_shapes = tuple(path_shapes)
        self._path_sizes = [0 if s is None else math.prod(s) for s in path_shapes]
        self.weight_numel = sum(self._path_sizes)
        self._prefix_shape = prefix_shape
        self.internal_weights = internal_weights
        self.shared_weights = shared_weights
        if internal_weights and self.weight_numel > 0:
            self.weight = torch.nn.Parameter(torch.randn(*prefix_shape, self.weight_numel))
        else:
            self.register_buffer("weight", torch.empty(0), persistent=False)
            forget_when_loading(self, placeholders=["weight"])
        forget_when_loading(self, constants=["output_mask", "_compiled_main*"])

    @property
    def output_mask(self) -> Tensor:
        """Which components of the output a path leads to: 1 there, and 0 where all outputs are 0.

        ``[irreps_out.dim]``, in the dtype and on the device of the module; biases do not count.
        """
        reached = {
            path.i_out
            for path in self.instructions
            if path.path_weight != 0 and 0 not in path.path_shape
        }
        entries = [float(i in reached) for i, _ in enumerate(self.irreps_out)]
        sizes = torch.tensor([entry.dim for entry in self.irreps_out], dtype=torch.int64)
        own = chain(self.parameters(), self.buffers())
        like = next((x for x in own if x.is_floating_point()), torch.empty(0))
        return torch.tensor(entries).repeat_interleave(sizes).to(like)

    def _given_or_own(self, weight: Tensor | None, reference: Tensor) -> Tensor:
        """The weights to use: those passed to forward, else the module's own."""
        if weight is None:
            if self.weight.numel() < self.weight_numel:
                raise ValueError(
                    f"{self!r} has internal_weights=False: pass weights of shape "
                    f"[{'' if self.shared_weights else '..., '}{self.weight_numel}] to forward"
                )
            if self.weight_numel == 0:
                return reference.new_empty(*self._prefix_shape, 0)
            return self.weight
        if weight.shape[-1] != self.weight_numel:
            raise ValueError(
                f"{self!r} needs weights of shape [..., {self.weight_numel}], "
                f"got {list(weight.shape)}"
            )
        return weight

    def weight_view_for_instruction(self, instruction: int, weight: Tensor | None = None) -> Tensor:
        """View of the weights of one instruction, shape ``[..., *path_shape]``.

        Args:
            instruction: index into ``instructions``; one with weights.
            weight: the weights to look at; by default the module's own.
        """
        if self._path_shapes[instruction] is None:
            raise ValueError(f"instruction {instruction} of {self!r} has no weights")
        return self._weight_by_path(self._own_or_raise(weight))[instruction]

    def weight_views(
        self, weight: Tensor | None = None, yield_instruction: bool = False
    ) -> Iterator[Any]:
        """Iterate over the views of the weights of all instructions that have some.

        Yields:
            the view, or with ``yield_instruction`` the triple (index, instruction, view).
        """
        for i, view in self._weight_by_path(self._own_or_raise(weight)).items():
            yield (i, self.instructions[i], view) if yield_instruction else view

    def _weight_by_path(self, weight: Tensor) -> dict[int, Tensor]:
        """Views ``[..., *path_shape]`` of the weights by index of the instruction."""
        parts = weight.split(self._path_sizes, -1) if self._path_sizes else ()
        return {
            i: part.view(*part.shape[:-1], *shape)
            for i, (part, shape) in enumerate(zip(parts, self._path_shapes, strict=True))
            if shape is not None
        }

    def _own_or_raise(self, weight: Tensor | None) -> Tensor:
        weight = self.weight if weight is None else weight
        if weight.numel() < self.weight_numel:
            raise ValueError(f"{self!r} holds no weights: pass the weights to look at")
        return weight


def forget_when_loading(
    module: torch.nn.Module, constants: Sequence[str] = (), placeholders: Sequence[str] = ()
) -> None:
    """Let ``module`` load the state dict of its e3nn counterpart, which holds more than parameters.

    e3nn saves constants (3j symbols, masks of non-zero outputs), and empty tensors in place of
    weights that do not exist. These entries are left out on loading; ``strict=True`` still reports
    all that hold something.

    Args:
        constants: patterns of keys below the module to leave out, e.g. ``"output_mask"``.
        placeholders: keys to leave out where the tensor is empty, e.g. ``"weight"``.
    """
    hook = partial(_drop_entries, tuple(constants), tuple(placeholders))
    module.register_load_state_dict_pre_hook(hook)


def _drop_entries(
    constants: Sequence[str],
    placeholders: Sequence[str],
    module: torch.nn.Module,
    state: dict[str, Any],
    prefix: str,
    *_: Any,
) -> None:
    for key in [key for key in state if key.startswith(prefix)]:
        name = key.removeprefix(prefix)
        if any(fnmatchcase(name, pattern) for pattern in constants) or (
            name in placeholders and state[key].numel() == 0
        ):
            del state[key]
