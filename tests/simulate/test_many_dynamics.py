"""Dynamics of many structures: interruptions, explosions, and independence of the batch."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from molnet.graph import StructureError
from molnet.models import Model
from molnet.simulate.dynamics import Dynamics

MakeModel = Callable[..., Model]


def structures() -> list[Atoms]:
    return [
        bulk("Cu", "fcc", a=3.4, cubic=True),
        Atoms("Cu4", 2.3 * np.eye(4, 3)),
        bulk("Cu", "hcp", a=2.4, c=3.9),
    ]


def run(dynamics: Dynamics, steps: int) -> None:
    for _ in range(steps):
        dynamics.step()


def assert_same_state(first: Dynamics, second: Dynamics) -> None:
    for name in ("positions", "momenta", "cells"):
        np.testing.assert_array_equal(getattr(first.state, name), getattr(second.state, name))


@pytest.mark.parametrize("ensemble", ["nve", "langevin", "bussi"])
@pytest.mark.parametrize("kind", ["network", "Lennard-Jones"])
def test_an_interrupted_run_goes_on_bit_for_bit(
    make_model: MakeModel, ensemble: str, kind: str
) -> None:
    model = make_model()
    if kind == "network":
        torch.manual_seed(0)
        network = {"cutoff": 4.0, "channels": 8, "l_max": 1, "num_layers": 2}
        head = {"kind": "extensive", "forces": True}
        statistics = {"mean_neighbours": 9.0, "targets": {"energy": {"scale": 1.0}}}
        model = Model(network, {"energy": head}, [29], statistics).eval()
    given = {"ensemble": ensemble, "temperatures": [300.0, 900.0], "steps": 80, "timestep": 2.0}
    whole = Dynamics(model, structures(), **given)  # type: ignore[arg-type]
    run(whole, 60)
    first = Dynamics(model, structures(), **given)  # type: ignore[arg-type]
    run(first, 23)
    saved = first.saved()
    saved["random"] = json.loads(json.dumps(saved["random"]))
    second = Dynamics(model, structures(), **given)  # type: ignore[arg-type]
    second.restore(saved)
    run(second, 37)
    assert_same_state(whole, second)
    assert (whole.done, whole.time, whole.temperature) == (60, 120.0, 750.0)
    assert second.time == whole.time


def test_a_trajectory_does_not_depend_on_the_batch(make_model: MakeModel) -> None:
    given = {"temperatures": 300.0, "steps": 40, "timestep": 2.0}
    together = Dynamics(make_model(), structures(), "langevin", **given)  # type: ignore[arg-type]
    first = Dynamics(make_model(), structures()[:1], "langevin", **given)  # type: ignore[arg-type]
    run(together, 40)
    run(first, 40)
    np.testing.assert_allclose(
        together.atoms(0).positions, first.atoms(0).positions, rtol=0, atol=1e-8
    )


def test_a_structure_that_explodes_ends_alone(make_model: MakeModel) -> None:
    close = Atoms("Cu2", [[0, 0, 0], [1.2, 0, 0]])
    broken = Atoms("Cu2", [[0, 0, 0], [2.4, 0, 0]], momenta=[[np.inf, 0, 0], [0, 0, 0]])
    given = [structures()[0], close, structures()[2], broken]
    dynamics = Dynamics(make_model(), given, "langevin", 300.0, steps=30, timestep=1.0)
    run(dynamics, 30)
    assert dynamics.done == 30
    np.testing.assert_array_equal(dynamics.running, [0, 2])
    reasons = {end.place: end.reason for end in dynamics.ended}
    assert "exploded: its temperature is" in reasons[1]
    assert "not finite" in reasons[3]
    alone = Dynamics(make_model(), structures()[:1], "langevin", 300.0, steps=30, timestep=1.0)
    run(alone, 30)
    np.testing.assert_allclose(
        dynamics.atoms(0).positions, alone.atoms(0).positions, rtol=0, atol=1e-8
    )
    again = Dynamics(make_model(), given, "langevin", 300.0, steps=30, timestep=1.0)
    again.restore(dynamics.saved())
    assert again.ended == dynamics.ended
    assert_same_state(again, dynamics)


def test_when_all_have_ended_nothing_happens(make_model: MakeModel) -> None:
    close = Atoms("Cu2", [[0, 0, 0], [1.2, 0, 0]])
    dynamics = Dynamics(make_model(), [close], "nve", 300.0, steps=30, timestep=1.0)
    run(dynamics, 30)
    assert len(dynamics.running) == 0
    assert dynamics.done < 30
    again = Dynamics(make_model(), [close], "nve", 300.0, steps=30, timestep=1.0)
    again.restore(dynamics.saved())
    again.step()
    assert again.done == dynamics.done


def test_what_cannot_run_is_refused(make_model: MakeModel) -> None:
    with pytest.raises(StructureError, match="npt needs a cell") as caught:
        Dynamics(make_model(), structures(), "npt", steps=1)
    assert caught.value.index == 1
    with pytest.raises(ValueError, match="temperatures >= 0 K, received -3"):
        Dynamics(make_model(), structures(), temperatures=-3, steps=1)
    with pytest.raises(ValueError, match="steps >= 1, received 0"):
        Dynamics(make_model(), structures(), steps=0)
    with pytest.raises(StructureError, match="holds Si"):
        Dynamics(make_model(), [molecule("SiH4")], steps=1)
