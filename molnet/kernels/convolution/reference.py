"""The convolution in plain PyTorch: any device, any dtype, differentiable any number of times."""

import torch
from torch import Tensor

from molnet.kernels.convolution.plan import Path, Plan
from molnet.kernels.convolution.weights import Weights
from molnet.kernels.edges import Edges


def convolve(
    x: Tensor, harmonics: Tensor, coupling: Tensor, weights: Weights, edges: Edges, plan: Plan
) -> Tensor:
    r"""Sum over the edges of every node what their senders contribute.

    For node :math:`a`, path :math:`p`, component :math:`k`, channel :math:`c`:

    .. math::
        out_{a,p,k,c} = \sum_{e \to a} w_{e,p,c} \sum_i M_{e,p,k,i}\, x_{s(e),i,c}, \qquad
        M_{e,p,k,i} = \sum_j Y_{e,j}\, C_{j,p,k,i}

    Args:
        x: node features ``[N, plan.input_size]``, channels contiguous.
        harmonics: Y, ``[E, H]``.
        coupling: C, ``[H, plan.matrix_size]``, each path's matrix row-major in ``(k, i)``, or
            the one number of an isotropic path; the constants that the plan's degrees name.
        weights: ``w``, of ``plan.weight_size`` numbers on each edge.
        edges: E edges between N nodes, sorted by receiver.
        plan: the irreps and paths.

    Returns:
        ``[N, plan.output_size]``; each output block is ``[dim, channels of its paths]``.
    """
    num_nodes, num_edges = x.shape[0], edges.senders.shape[0]
    paths_of = [[p for p in plan.paths if p.source == i] for i in range(len(plan.inputs))]
    rows_of = [[plan.output_dims[p.target] for p in paths] for paths in paths_of]

    x_blocks = x.split([block.size for block in plan.inputs], dim=1)
    numbers = (harmonics @ coupling).split(plan.matrix_sizes, dim=1)
    matrices = [
        _matrices(of_path, path, plan) for of_path, path in zip(numbers, plan.paths, strict=True)
    ]
    weight_blocks = weights.of_every_edge().split(
        [block.mul * len(paths) for block, paths in zip(plan.inputs, paths_of, strict=True)], dim=1
    )

    pieces: list[list[Tensor]] = [[] for _ in plan.output_dims]
    for i, (dim, mul) in enumerate(plan.inputs):
        if not paths_of[i]:
            continue
        # One matrix product contracts all the paths that read this input block.
        sent = (
            x_blocks[i].reshape(num_nodes, dim, mul).index_select(0, edges.senders)
        )  # [E, dim, mul]
        of_block = [M for M, path in zip(matrices, plan.paths, strict=True) if path.source == i]
        coupled = torch.bmm(torch.cat(of_block, dim=1), sent)
        path_weights = weight_blocks[i].reshape(num_edges, len(paths_of[i]), mul).unbind(1)
        for path, message, weight in zip(
            paths_of[i], coupled.split(rows_of[i], dim=1), path_weights, strict=True
        ):
            total = x.new_zeros(num_nodes, message.shape[1], mul)
            pieces[path.target].append(
                total.index_add(0, edges.receivers, message * weight.unsqueeze(1))  # [N, k, mul]
            )

    blocks = [torch.cat(parts, dim=2).flatten(1) for parts in pieces if parts]
    return torch.cat(blocks, dim=1) if blocks else x.new_zeros(num_nodes, 0)


def _matrices(numbers: Tensor, path: Path, plan: Plan) -> Tensor:
    """M of a path on all edges, ``[E, dim_out, dim_in]``."""
    dim_in, dim_out = plan.inputs[path.source].dim, plan.output_dims[path.target]
    if path.isotropic:
        return numbers.unsqueeze(2) * torch.eye(dim_in, dtype=numbers.dtype, device=numbers.device)
    return numbers.reshape(len(numbers), dim_out, dim_in)
