"""Using trained models: calculator, predictions, relaxation, dynamics, vibrations, scans, paths."""

from molnet.simulate.calculator import Calculator
from molnet.simulate.predict import predict_files

__all__ = ["Calculator", "predict_files"]
