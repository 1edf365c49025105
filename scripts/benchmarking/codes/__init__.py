"""Codes that `benchmark.py accuracy` compares: one module for each, with its recipe."""

from benchmarking.codes.mace import MACE
from benchmarking.codes.molnet import FINETUNED, MOLNET
from benchmarking.codes.nequip import NEQUIP
from benchmarking.codes.schnetpack import SCHNETPACK

CODES = {code.name: code for code in (MOLNET, FINETUNED, MACE, NEQUIP, SCHNETPACK)}
