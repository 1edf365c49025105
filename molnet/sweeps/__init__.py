"""Sweeps: several trainings, compared by their objective; grids, and studies with Optuna.

A sweep lives in one folder: each training in a folder of its own there, what came out of it in
``trials/NUMBER.json``, and the comparison of all in ``ranking.csv`` and ``experiment/best.yaml``.
"""
