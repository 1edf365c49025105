"""Using trained models: ASE's calculator, and predictions for structure files."""

from molnet.simulate.calculator import Calculator
from molnet.simulate.predict import predict_files

__all__ = ["Calculator", "predict_files"]
