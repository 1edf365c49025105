"""What a network spends its time on: the convolution, and linear maps on blocks of features."""

from molnet.kernels.blocks import BlockwiseMap, RowGroups
from molnet.kernels.blockwise import apply_blockwise
from molnet.kernels.convolve import backend, convolve
from molnet.kernels.edge_basis import CompiledEdgeBasis
from molnet.kernels.edges import Edges
from molnet.kernels.engine import as_source, close
from molnet.kernels.gating import CompiledGate
from molnet.kernels.inflow import net_inflow
from molnet.kernels.layered import (
    CompiledGraph,
    CompiledLayers,
    Keeps,
    Kept,
    Layer,
    LayerWeights,
)
from molnet.kernels.plan import Block, Path, Plan
from molnet.kernels.radial import RadialTables
from molnet.kernels.readout import ReadOut
from molnet.kernels.weights import Weights

__all__ = [
    "Block",
    "BlockwiseMap",
    "CompiledEdgeBasis",
    "CompiledGate",
    "CompiledGraph",
    "CompiledLayers",
    "Edges",
    "Keeps",
    "Kept",
    "Layer",
    "LayerWeights",
    "Path",
    "Plan",
    "RadialTables",
    "ReadOut",
    "RowGroups",
    "Weights",
    "apply_blockwise",
    "as_source",
    "backend",
    "close",
    "convolve",
    "net_inflow",
]
