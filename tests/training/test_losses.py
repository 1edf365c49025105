"""The loss against its formula."""

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from molnet.properties import Property, get_property
from molnet.training.losses import HUBER_WIDTH, Loss, LossTerm, huber

PTR = torch.tensor([0, 2, 5])


def graph(**labels: torch.Tensor) -> Batch:
    return Batch(pos=torch.zeros(5, 3, dtype=torch.float64), ptr=PTR, **labels)


def test_term_is_the_weighted_mean_of_the_scaled_error_per_atom() -> None:
    label = torch.tensor([-10.0, -20.0], dtype=torch.float64)
    prediction = label + torch.tensor([0.4, -0.9], dtype=torch.float64)
    term = LossTerm(get_property("energy"), 0.5, weight=3.0, per_atom=True, function="mse")
    expected = 3.0 * ((0.4 / 2 / 0.5) ** 2 + (0.9 / 3 / 0.5) ** 2) / 2
    torch.testing.assert_close(
        term(prediction, graph(energy=label)), torch.tensor(expected).double()
    )


def test_structures_count_alike_without_per_atom() -> None:
    label = torch.zeros(2, dtype=torch.float64)
    prediction = torch.tensor([0.4, -0.9], dtype=torch.float64)
    term = LossTerm(get_property("energy"), 0.5, function="mae")
    torch.testing.assert_close(
        term(prediction, graph(energy=label)), torch.tensor((0.8 + 1.8) / 2).double()
    )


def test_huber_is_smooth_where_its_pieces_meet() -> None:
    x = torch.tensor([HUBER_WIDTH - 1e-9, HUBER_WIDTH + 1e-9], dtype=torch.float64).requires_grad_()
    values = huber(x)
    (slopes,) = torch.autograd.grad(values.sum(), x)
    assert abs(values[1] - values[0]) < 1e-8
    assert abs(slopes[1] - slopes[0]) < 1e-7
    torch.testing.assert_close(huber(torch.tensor([-3.0])), torch.tensor([3.0 - HUBER_WIDTH / 2]))


def test_missing_labels_neither_count_nor_spoil_the_gradient() -> None:
    label = torch.full((2, 3, 3), torch.nan, dtype=torch.float64)
    label[1] = 0.0
    prediction = torch.full((2, 3, 3), 0.1, dtype=torch.float64)
    prediction[0] = torch.nan
    prediction.requires_grad_()
    loss = LossTerm(get_property("stress"), 1.0, function="mae")(prediction, graph(stress=label))
    (gradient,) = torch.autograd.grad(loss, prediction)
    torch.testing.assert_close(loss.detach(), torch.tensor(0.1).double())
    assert torch.isfinite(gradient).all()
    assert gradient[1].count_nonzero() == 9


def test_a_prediction_that_is_nan_makes_the_loss_nan() -> None:
    forces = torch.zeros(5, 3, dtype=torch.float64)
    prediction = forces.clone()
    prediction[2, 1] = torch.nan
    term = LossTerm(get_property("forces"), 1.0)
    assert torch.isnan(term(prediction, graph(forces=forces)))


def test_loss_adds_its_terms() -> None:
    labels = graph(energy=torch.zeros(2).double(), forces=torch.zeros(5, 3).double())
    predictions = {"energy": torch.ones(2).double(), "forces": torch.ones(5, 3).double()}
    terms = [
        LossTerm(get_property("energy"), 1.0, weight=2.0, function="mae"),
        LossTerm(get_property("forces"), 1.0, weight=5.0, function="mae"),
    ]
    torch.testing.assert_close(Loss(terms)(predictions, labels), torch.tensor(7.0).double())


def test_weights_move_during_the_run() -> None:
    labels = graph(energy=torch.zeros(2).double(), forces=torch.zeros(5, 3).double())
    predictions = {"energy": torch.ones(2).double(), "forces": torch.ones(5, 3).double()}
    loss = Loss(
        [
            LossTerm(get_property("energy"), 1.0, 0.1, function="mae", final_weight=10.0),
            LossTerm(get_property("forces"), 1.0, 5.0, function="mae"),
        ]
    )
    found = [loss.parts(predictions, labels, progress)[0].tolist() for progress in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(found, [[0.1, 5.0], [1.0, 5.0], [10.0, 5.0]], rtol=1e-6)
    assert loss(predictions, labels).item() == pytest.approx(15.0)  # validations: the last weights


@pytest.mark.parametrize(
    ("property", "options", "message"),
    [
        ("energy", {"scale": 0.0}, "positive scale"),
        ("energy", {"scale": float("nan")}, "positive scale"),
        ("energy", {"scale": 1.0, "function": "mea"}, "mae"),
        ("forces", {"scale": 1.0, "per_atom": True}, "structures"),
        ("forces", {"scale": 1.0, "weight": 0.0, "final_weight": 1.0}, "positive weights"),
    ],
)
def test_impossible_terms_are_refused(property: str, options: dict, message: str) -> None:
    quantity: Property = get_property(property)
    with pytest.raises(ValueError, match=message):
        LossTerm(quantity, **options)
