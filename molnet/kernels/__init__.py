"""What a network spends its time on: the convolution, and linear maps on blocks of features."""

from molnet.kernels.convolution.convolve import Convolving, backend, convolve
from molnet.kernels.convolution.plan import Block, Path, Plan
from molnet.kernels.convolution.weights import Weights
from molnet.kernels.edge_basis import CompiledEdgeBasis
from molnet.kernels.edges import Edges
from molnet.kernels.engine import as_source, close
from molnet.kernels.exact import Exact
from molnet.kernels.gate import CompiledGate
from molnet.kernels.graph_orders import GraphOrders
from molnet.kernels.inflow import net_inflow
from molnet.kernels.linear.blocks import BlockwiseMap, RowGroups
from molnet.kernels.linear.blockwise import LinearMap
from molnet.kernels.passes import BoundProgram, Keeps, Kept
from molnet.kernels.program import Columns, Primitive, Program, Step, Surroundings, UnfitError
from molnet.kernels.radial import RadialTables
from molnet.kernels.readout import ReadOut

__all__ = [
    "Block",
    "BlockwiseMap",
    "BoundProgram",
    "Columns",
    "CompiledEdgeBasis",
    "CompiledGate",
    "Convolving",
    "Edges",
    "Exact",
    "GraphOrders",
    "Keeps",
    "Kept",
    "LinearMap",
    "Path",
    "Plan",
    "Primitive",
    "Program",
    "RadialTables",
    "ReadOut",
    "RowGroups",
    "Step",
    "Surroundings",
    "UnfitError",
    "Weights",
    "as_source",
    "backend",
    "close",
    "convolve",
    "net_inflow",
]
