"""Predictions for whole files: streamed, with one batch in memory at a time."""

import logging
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from ase import Atoms

from molnet.cache import from_home
from molnet.graph import StructureError
from molnet.graph.frames import (
    ReadingOptions,
    StructureFileError,
    check_ending,
    count_frames,
    frame_name,
    resolve_paths,
    units_in_files,
)
from molnet.models import (
    FrozenModel,
    Model,
    OutsideDomainWarning,
    PredictionError,
    UndeterminedEnergyWarning,
    UnseenChargeWarning,
    load_model,
)
from molnet.progress import progress
from molnet.properties import PROPERTIES
from molnet.simulate.electrons import ElectronRemarks
from molnet.simulate.inputs import default_output, frames_of
from molnet.simulate.output import open_predictions, reserved
from molnet.simulate.summary import Summary
from molnet.simulate.writing import Frame, Prediction
from molnet.units import conversion_factor

logger = logging.getLogger(__name__)


def predict_files(
    model: Model | str | Path,
    input: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    *,
    batch_size: int = 64,
    max_atoms: int = 2000,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    format: str | None = None,
    elements: Iterable[str] | Mapping[str | int, str] | None = None,
    positions_unit: str | None = None,
    disorder: str | None = None,
) -> Summary:
    """Predicts every structure of one or several files and writes the results to one file.

    Args:
        model: a model, or the folder of a saved one.
        input: a file that ASE reads, a glob such as ``"runs/*.xyz"``, or several of these.
        output: file whose suffix chooses the format (``.extxyz``, ``.xyz``, ``.csv``, ``.json``,
            each also with ``.gz``; ``.traj``, ``.db``). By default ``NAME.predicted.extxyz`` for
            the input ``NAME.xyz``, and ``predictions.extxyz`` for several inputs, in the working
            folder.
        batch_size: largest number of structures in a batch.
        max_atoms: largest number of atoms in a batch; a larger structure is a batch of its own.
        device: for a saved model, see :func:`molnet.models.load_model`.
        dtype: likewise, or its name, ``"float32"`` or ``"float64"``.
        format: of the inputs, see :class:`molnet.graph.frames.ReadingOptions`; likewise
            ``elements``, ``positions_unit`` and ``disorder``.

    Returns:
        Counts, ranges, errors against labels in the input; print it.

    Raises:
        FileNotFoundError: an input or the model is not there.
        ValueError: an output that has no known suffix, is one of the inputs, or is being written
            by another process.
        StructureFileError: a file or a frame cannot be read or is not valid, holds an element that
            the model does not know, or has a prediction that is not finite; the message has file
            and frame. All predictions before it are kept in ``OUTPUT.partial``.
        OSError: the output cannot be written; this is checked before anything is computed.
    """
    if batch_size < 1 or max_atoms < 1:
        raise ValueError(
            f"expected batch_size >= 1 and max_atoms >= 1, received {batch_size} and {max_atoms}"
        )
    reading = ReadingOptions.of(format, elements, positions_unit, disorder)
    files = resolve_paths(input)
    default = default_output(files, "predicted", "predictions")
    output = default if output is None else from_home(output)
    with reserved(output, files):
        if not isinstance(model, Model):
            model = load_model(model, device, dtype)
        return _predict_frames(model, files, reading, output, batch_size, max_atoms)


def _predict_frames(
    model: Model,
    files: Sequence[Path],
    reading: ReadingOptions,
    output: Path,
    batch_size: int,
    max_atoms: int,
) -> Summary:
    total = _count(files, reading)
    summary = Summary(model, output)
    remarks = ElectronRemarks(model)
    told = False
    frozen = FrozenModel(model)
    started = time.perf_counter()
    with (
        open_predictions(output, model) as writer,
        progress("predicting", total, "structures") as shown,
    ):
        for frames in _batches(_read(files, reading), batch_size, max_atoms):
            for frame, prediction, doubt in _predict(frozen, frames):
                remarks.add(frame)
                if not told and (unknown := model.compositions.remark(frame.atoms.numbers)):
                    place = frame_name(frame.path, frame.number)
                    logger.warning("%s: %s (reported once)", place, unknown)
                    told = True
                if doubt:
                    summary.doubt(frame, doubt)
                writer.write(frame, prediction)
                summary.add(frame, prediction)
                shown.advance()
    summary.seconds = time.perf_counter() - started
    return summary


def _count(files: Sequence[Path], reading: ReadingOptions) -> int | None:
    """The number of structures, if the format can be counted without reading everything.

    A file that was cut short is noticed here, before hours of predictions.
    """
    total: int | None = 0
    for file in files:
        count = count_frames(file, reading)
        try:
            check_ending(file, reading)
        except StructureFileError as error:
            logger.warning("%s", error)  # most often an editor left the line end out
        total = None if total is None or count is None else total + count
    return total


def _read(files: Sequence[Path], reading: ReadingOptions) -> Iterator[Frame]:
    for file in files:
        units = units_in_files(file, reading)
        for frame in frames_of(file, reading):
            _convert_labels(frame.atoms, units)
            yield frame


def _convert_labels(atoms: Atoms, units: Mapping[str, str]) -> None:
    """Converts labels with a declared unit to ASE's units, in which errors are computed."""
    labels = atoms.calc.results if atoms.calc is not None else {}
    for name in labels.keys() & units.keys() & PROPERTIES.keys():
        factor = conversion_factor(units[name], PROPERTIES[name].unit)
        labels[name] = factor * np.asarray(labels[name])


def _batches(frames: Iterable[Frame], size: int, max_atoms: int) -> Iterator[list[Frame]]:
    """Batches of frames in order; frames before a faulty one are yielded before its error."""
    batch: list[Frame] = []
    atoms = 0
    try:
        for frame in frames:
            if len(batch) == size or (batch and atoms + len(frame.atoms) > max_atoms):
                yield batch
                batch, atoms = [], 0
            batch.append(frame)
            atoms += len(frame.atoms)
    except StructureFileError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _predict(
    model: FrozenModel, frames: list[Frame]
) -> Iterator[tuple[Frame, Prediction, str | None]]:
    """Predictions of one batch, and why one is doubtful; those before a faulty frame come first."""
    sound, fault = len(frames), None
    doubts: dict[int, str] = {}
    while sound:
        atoms = [frame.atoms for frame in frames[:sound]]
        try:
            with warnings.catch_warnings():
                # Said by file and frame.
                for kind in (UnseenChargeWarning, OutsideDomainWarning, UndeterminedEnergyWarning):
                    warnings.simplefilter("ignore", kind)
                predictions = model.predict(atoms, sound, doubts.__setitem__)
        except (StructureError, PredictionError) as error:
            sound, fault = error.index, error
            continue
        for place, prediction in enumerate(predictions):
            yield frames[place], prediction, doubts.get(place)
        break
    if fault is not None:
        frame = frames[sound]
        raise StructureFileError(f"{frame_name(frame.path, frame.number)}: {fault}") from fault
