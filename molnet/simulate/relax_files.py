"""Relaxations for whole files: many at once, kept as they finish, written in the input's order."""

import hashlib
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from ase import Atoms

from molnet.cache import from_home
from molnet.graph import total_charge
from molnet.graph.frames import ReadingOptions, StructureFileError, frame_name, resolve_paths
from molnet.models import FrozenModel, Model, OutsideDomainWarning, UnseenChargeWarning, load_model
from molnet.progress import progress
from molnet.simulate.coordinates import CellMotion
from molnet.simulate.inputs import default_output, frames_of
from molnet.simulate.output import open_predictions, reserved, writer_for
from molnet.simulate.relaxation import Relaxed, relax
from molnet.simulate.relaxation_summary import FEW, RelaxationSummary
from molnet.simulate.unfinished import Unfinished
from molnet.simulate.writing import Frame, PredictionWriter, StructuresWriter

STRUCTURES_AT_ONCE = 64
"""When results are written."""


@dataclass(frozen=True)
class RelaxationSettings:
    """How structures are relaxed, see :func:`molnet.simulate.relaxation.relax`."""

    fmax: float = 0.01
    smax: float = 0.1
    steps: int = 500
    cell: CellMotion = "fixed"
    pressure: float = 0.0

    def __post_init__(self) -> None:
        if self.fmax <= 0 or self.smax <= 0 or self.steps < 0:
            raise ValueError(
                "expected fmax > 0, smax > 0 and steps >= 0, received "
                f"fmax={self.fmax:g}, smax={self.smax:g} and steps={self.steps}"
            )


def relax_files(
    model: Model | str | Path,
    input: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    settings: RelaxationSettings | None = None,
    *,
    max_atoms: int = 4000,
    resume: bool = True,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    reading: ReadingOptions | None = None,
) -> RelaxationSummary:
    """Relaxes every structure of one or several files and writes them to one file.

    Structures are kept in ``OUTPUT.unfinished`` as they finish. After an interruption of any kind,
    a power cut aside, the same call goes on there.

    Args:
        model: a model with an energy and forces, or the folder of a saved one.
        input: a file that ASE reads, a glob, or several of these; read twice, never changed.
        output: ``.extxyz``, ``.xyz`` (each also with ``.gz``), ``.traj`` or ``.db``. By default
            ``NAME.relaxed.extxyz`` in the working folder, ``relaxed.extxyz`` for several inputs.
        settings: how structures are relaxed.
        max_atoms: most atoms that are evaluated at once.
        resume: go on with what an interrupted call has left; otherwise that is discarded.
        device: for a saved model, see :func:`molnet.models.load_model`.
        dtype: likewise.
        reading: what the files leave open.

    Returns:
        What converged and what did not; print it.

    Raises:
        StructureFileError: a frame cannot be read, or no structure at all could be relaxed; the
            message has file and frame.
        ValueError: settings that are not possible; an output of an unknown kind, or that is an
            input.
        UnfinishedError: an interrupted call had other settings.
        OSError: the output cannot be written. What was relaxed by then is kept.
    """
    settings = settings or RelaxationSettings()
    reading = reading or ReadingOptions()
    files = resolve_paths(input)
    output = default_output(files, "relaxed", "relaxed") if output is None else from_home(output)
    if not issubclass(writer_for(output), StructuresWriter):
        raise ValueError(
            f"expected an output for structures, .extxyz, .xyz, .traj or .db, received {output}"
        )
    with reserved(output, files):
        if not isinstance(model, Model):
            model = load_model(model, device, dtype)
        number, digest = _survey(files, reading)
        depends_on = {"model": _digest_of(model), "input": digest, **asdict(settings)}
        unfinished = Unfinished(output, depends_on, resume)
        try:
            return _relax(model, files, reading, output, settings, max_atoms, number, unfinished)
        finally:
            unfinished.close()


def _relax(
    model: Model,
    files: Sequence[Path],
    reading: ReadingOptions,
    output: Path,
    settings: RelaxationSettings,
    max_atoms: int,
    number: int,
    unfinished: Unfinished,
) -> RelaxationSummary:
    started = time.perf_counter()
    known = len(unfinished)
    waiting: list[int] = []  # the places of the structures that are handed on

    def structures() -> Iterator[Atoms]:
        for place, frame in enumerate(_frames(files, reading)):
            if place not in unfinished:
                waiting.append(place)
                yield frame.atoms

    with progress("relaxing", number, "structures") as shown:
        shown.advance(known)
        options = asdict(settings)
        frames: dict[int, list[Atoms]] = {}
        for relaxed in relax(
            model, structures(), **options, max_atoms=max_atoms, frames=number <= FEW
        ):
            place = waiting[relaxed.place]
            unfinished.add(_at(relaxed, place))
            frames[place] = relaxed.frames
            shown.advance()
    summary = RelaxationSummary(output, known, time.perf_counter() - started, number)
    _refuse_if_all_failed(files, reading, unfinished)
    with open_predictions(output, model) as writer, progress("writing", number, "") as shown:
        frozen = FrozenModel(model)
        rest = enumerate(_frames(files, reading))
        while written := list(islice(rest, STRUCTURES_AT_ONCE)):
            _write(frozen, written, unfinished, frames, writer, summary)
            shown.advance(len(written))
    unfinished.remove()
    return summary


def _write(
    model: FrozenModel,
    frames: Iterable[tuple[int, Frame]],
    unfinished: Unfinished,
    steps: Mapping[int, list[Atoms]],
    writer: PredictionWriter,
    summary: RelaxationSummary,
) -> None:
    """Writes structures with all predictions of the model, in the order of the input."""
    results = [
        (frame, replace(unfinished[place], frames=steps.get(place, []))) for place, frame in frames
    ]
    sound = [(frame, relaxed) for frame, relaxed in results if relaxed.fault is None]
    starts = [frame.atoms for frame, _ in sound]
    ends = [_relaxed_atoms(frame.atoms, relaxed) for frame, relaxed in sound]
    with warnings.catch_warnings():
        for kind in (UnseenChargeWarning, OutsideDomainWarning):  # the summary tells
            warnings.simplefilter("ignore", kind)
        predictions = model.predict([*starts, *ends], STRUCTURES_AT_ONCE, lambda *_: None)
    rows = zip(starts, ends, predictions[: len(sound)], predictions[len(sound) :], strict=True)
    for frame, relaxed in results:
        if relaxed.fault is not None:
            atoms = frame.atoms.copy()
            atoms.info |= {"converged": False, "steps": relaxed.steps, "fault": relaxed.fault}
            writer.write(Frame(frame.path, frame.number, atoms), {})
            summary.add_fault(frame_name(frame.path, frame.number), relaxed, atoms)
            continue
        start, end, before, after = next(rows)
        end.info |= {"converged": relaxed.converged, "steps": relaxed.steps}
        writer.write(Frame(frame.path, frame.number, end), after)
        name = frame_name(frame.path, frame.number)
        summary.add(name, relaxed, start, end, before, after, model.model)


def _relaxed_atoms(given: Atoms, relaxed: Relaxed) -> Atoms:
    """What the input says of a structure, at its relaxed place."""
    atoms: Atoms = given.copy()
    constraints, atoms.constraints = atoms.constraints, []
    atoms.set_cell(relaxed.atoms.cell)
    atoms.positions = relaxed.atoms.positions
    atoms.constraints = constraints
    return atoms


def _at(relaxed: Relaxed, place: int) -> Relaxed:
    return replace(relaxed, place=place)


def _frames(files: Sequence[Path], reading: ReadingOptions) -> Iterator[Frame]:
    for file in files:
        yield from frames_of(file, reading)


def _survey(files: Sequence[Path], reading: ReadingOptions) -> tuple[int, str]:
    """The number of structures and a digest; an unreadable frame shows now, not hours later."""
    digest, number = hashlib.sha256(), 0
    for frame in _frames(files, reading):
        atoms, number = frame.atoms, number + 1
        for array in (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(repr((len(atoms), total_charge(atoms), atoms.constraints)).encode())
    return number, digest.hexdigest()


def _digest_of(model: Model) -> str:
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def _refuse_if_all_failed(
    files: Sequence[Path], reading: ReadingOptions, unfinished: Unfinished
) -> None:
    first = None
    for place, frame in enumerate(_frames(files, reading)):
        relaxed = unfinished[place]
        if relaxed.fault is None:
            return
        first = first or f"{frame_name(frame.path, frame.number)}: {relaxed.fault}"
    number = len(unfinished)
    unfinished.remove()
    more = f" (None of {number} structures could be relaxed.)" if number > 1 else ""
    raise StructureFileError(f"{first}{more}")
