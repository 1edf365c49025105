"""What holds while a trainer runs, and no longer."""

from collections.abc import Callable

import torch
from omegaconf import DictConfig, open_dict
from pytorch_lightning import Callback, LightningModule, Trainer

from molnet.training.run import train

SEEN: list[str] = []


class Precision(Callback):
    """Notes the precision of products of matrices."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        SEEN.append(torch.get_float32_matmul_precision())


def test_products_in_tf32_end_with_the_training(settings: Callable[..., DictConfig]) -> None:
    config = settings("trainer.matmul_precision=high", "trainer.max_steps=2")
    with open_dict(config):
        config.callbacks.extra = {"precision": {"_target_": f"{__name__}.Precision"}}
    SEEN.clear()
    train(config)
    assert SEEN == ["high", "high"]
    # Test errors, and all that follows in this process, are in full precision.
    assert torch.get_float32_matmul_precision() == "highest"
