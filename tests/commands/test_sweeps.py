"""Sweeps, ``-m``, as a user sees them."""

import csv
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., tuple[int, str, str]]


def rows(sweep: Path) -> list[dict[str, str]]:
    with (sweep / "ranking.csv").open() as file:
        return list(csv.DictReader(file))


def metrics(folder: str | Path) -> dict[str, Any]:
    return json.loads((Path(folder) / "metrics.json").read_text())


def test_a_sweep_ends_in_a_table_and_names_what_has_failed(run: Run, small: list[str]) -> None:
    lr = "optimizer.lr=1e30,1e-2,1e-3"
    status, output, errors = run("train.py", "-m", *small, lr, "hydra.sweep.dir=sweep")
    assert status == 1
    assert errors.endswith("error: 1 of 3 trainings have failed\n")
    assert "sweep of 3 trainings (1 failed):" in output
    assert "trial 0 failed: the loss is nan" in output
    ranking = rows(Path("sweep"))
    assert [row["rank"] for row in ranking] == ["1", "2", ""]
    assert ranking[2]["optimizer.lr"] == "1e+30"
    assert "the training has diverged" in ranking[2]["error"]
    for row in ranking[:2]:
        history = list(csv.DictReader((Path(row["folder"]) / "history.csv").open()))
        best = min(float(epoch["validation/loss"]) for epoch in history)
        assert float(row["value"]) == pytest.approx(best)
    assert float(ranking[0]["value"]) < float(ranking[1]["value"])


def test_the_best_is_trained_again_by_its_command_and_its_experiment(
    run: Run, small: list[str]
) -> None:
    given = [*small, "optimizer=adam,adamw", "objective=validation/energy_per_atom_mae"]
    status, output, _ = run("train.py", "-m", *given, "hydra.sweep.dir=sweep")
    assert status == 0
    best = rows(Path("sweep"))[0]
    assert best["objective"] == "validation/energy_per_atom_mae"
    assert best["unit"] == "meV/atom"
    (again,) = re.findall(r"train the best again:\n  python \S+train\.py (.*)", output)
    experiment = re.findall(r"(--config-dir \S+ experiment=best)", output)[0]
    for number, line in enumerate((again, experiment)):
        status, _, errors = run("train.py", *shlex.split(line), f"hydra.run.dir=again{number}")
        assert status == 0, errors
        assert metrics(f"again{number}")["test"] == metrics(best["folder"])["test"]


def test_a_sweep_goes_on_where_it_was(run: Run, small: list[str]) -> None:
    given = ["-m", *small, "optimizer.lr=1e-2,1e-3", "hydra.sweep.dir=sweep"]
    run("train.py", *given)
    before = rows(Path("sweep"))
    status, _, errors = run("train.py", *given)
    assert status == 1
    assert "already holds a sweep: continue it with resume=auto" in errors
    (Path("sweep") / "1" / "metrics.json").unlink()
    status, output, _ = run("train.py", *given, "resume=auto")
    assert status == 0
    assert output.count("is finished: a limit of the training is reached") == 1
    values = [(row["trial"], row["value"]) for row in rows(Path("sweep"))]
    assert values == [(row["trial"], row["value"]) for row in before]


@pytest.mark.parametrize(
    ("objective", "answer"),
    [
        ("validation/los", "did you mean 'validation/loss'?"),
        ("validation/forces_mae", "did you mean 'validation/energy_mae'?"),
        ("test/energy_mae", "did you mean 'validation/energy_mae'?"),
    ],
)
def test_an_objective_that_there_is_not_is_refused(
    run: Run, small: list[str], objective: str, answer: str
) -> None:
    status, _, errors = run("train.py", *small, f"objective={objective}")
    assert status == 1
    assert errors == f"error: objective={objective}: {answer}\n"
