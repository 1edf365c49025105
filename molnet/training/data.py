"""The parts of a data set as loaders of batches."""

import time
from typing import Any, cast

import torch
from pytorch_lightning import LightningDataModule, Trainer
from torch.utils.data import DataLoader
from torch_geometric.data import Batch

from molnet.datasets.base import DataSet
from molnet.datasets.batching import BatchSampler
from molnet.datasets.dataset import GraphDataset
from molnet.datasets.splits import Split
from molnet.datasets.store import ArrayStore
from molnet.training.steps import BatchesOfSteps


class DataModule(LightningDataModule):
    """Loaders of the training, validation and test part of a store.

    The training batches are shuffled by seed and epoch. A run that is resumed within an epoch
    continues with the remaining batches of that epoch.

    Attributes:
        store: the data set.
        parts: its parts ``train``, ``validation`` and ``test``.

    Args:
        store: the data set.
        split: which structures belong to which part. Where the validation part is empty, the
            training part takes its place.
        settings: sizes of the batches, and the number of processes that prepare them.
        cutoff: of the graphs, Å.
        properties: labels that the batches carry.
        dtype: of positions and labels.
        seed: of the order of the training batches.
    """

    def __init__(
        self,
        store: ArrayStore,
        split: Split,
        settings: DataSet,
        cutoff: float,
        properties: list[str],
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.store = store
        self.parts = {
            name: GraphDataset(store, indices, cutoff, properties, dtype)
            for name, indices in split.parts.items()
        }
        if not len(self.parts["validation"]):
            self.parts["validation"] = self.parts["train"]
        self.settings = settings
        self._sampler = make_sampler(self.parts["train"], settings, shuffle=True, seed=seed)
        self._loader: Loader | None = None
        self._moving = 0.0

    @property
    def waited(self) -> float:
        """Seconds in which training batches were made, or taken from the processes that make them,
        and moved to the device."""
        return self._moving + (0.0 if self._loader is None else self._loader.seconds)

    def train_dataloader(self) -> DataLoader[Batch] | BatchesOfSteps:
        """Shuffled batches; see :meth:`start_epoch`."""
        self._sampler.share(*self._place())
        part, trainer = self.parts["train"], self.trainer
        self._loader = make_loader(part, self._sampler, self.settings.workers)
        if trainer is None or trainer.accumulate_grad_batches == 1:
            return self._loader
        return BatchesOfSteps(self._loader, trainer.accumulate_grad_batches, [*part.properties])

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, index: int) -> Batch:
        """Move a batch, unless it is on the CPU already: Lightning's own check takes too long."""
        started = time.monotonic()
        moved = batch if device.type == "cpu" else batch.to(device, non_blocking=True)
        if cast(Trainer, self.trainer).training:
            self._moving += time.monotonic() - started
        return moved

    def val_dataloader(self) -> DataLoader[Batch]:
        """The validation part in its own order."""
        return in_order(self.parts["validation"], self.settings, *self._place())

    def start_epoch(self, epoch: int) -> None:
        """Draw the order of the training batches of an epoch that starts from its beginning."""
        self._sampler.set_epoch(epoch)
        # Bounds on atoms or edges give epochs that differ by a few batches. Lightning counts them
        # once: it would leave out the validation of a shorter epoch, and batches of a longer one.
        trainer: Any = self.trainer
        if trainer is not None:
            loop, batches = trainer.fit_loop, len(self._sampler)
            loop.max_batches = trainer.val_check_batch = batches
            loop._combined_loader.limits = [batches]

    def _place(self) -> tuple[int, int]:
        """How many processes train, and which this is."""
        trainer: Any = self.trainer
        return (1, 0) if trainer is None else (trainer.world_size, trainer.global_rank)

    def state_dict(self) -> dict[str, Any]:
        """The epoch, and how many of its batches are done."""
        trainer: Any = self.trainer
        epoch = trainer.fit_loop.epoch_progress.current
        if epoch.processed == epoch.ready:
            return {"epoch": trainer.current_epoch + 1, "batches": 0}
        done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        return {"epoch": trainer.current_epoch, "batches": done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue after the batches that are done."""
        self._sampler.set_epoch(int(state_dict["epoch"]), skip=int(state_dict["batches"]))


def in_order(
    part: GraphDataset, settings: DataSet, processes: int = 1, process: int = 0
) -> DataLoader[Batch]:
    """Batches of all structures of ``part`` in its own order, or a process's share of each."""
    sampler = make_sampler(part, settings)
    sampler.share(processes, process)
    return make_loader(part, sampler, settings.workers)


def make_sampler(
    part: GraphDataset, settings: DataSet, shuffle: bool = False, seed: int = 0
) -> BatchSampler:
    """Batches within the bounds that ``settings`` give."""
    return BatchSampler(
        part.node_counts,
        part.edge_counts,
        settings.batch_size,
        settings.max_atoms,
        settings.max_edges,
        shuffle,
        seed,
    )


class Loader(DataLoader[Batch]):
    """A loader that knows for how many seconds its batches were waited for."""

    seconds = 0.0

    def __iter__(self) -> Any:
        batches = super().__iter__()
        while True:
            started = time.monotonic()
            try:
                batch = next(batches)
            except StopIteration:
                return
            self.seconds += time.monotonic() - started
            yield batch


def make_loader(part: GraphDataset, sampler: BatchSampler, workers: int) -> Loader:
    """The batches of ``part`` that ``sampler`` chooses."""
    return Loader(
        part,
        batch_sampler=sampler,
        collate_fn=_as_it_is,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def _as_it_is(batch: Batch) -> Batch:
    return batch
