"""Dynamics of structures from files: run, recorded, interrupted, continued, summed up."""

import csv
import logging
import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from molnet.graph import StructureError
from molnet.graph.frames import ReadingOptions, StructureFileError, frame_name, resolve_paths
from molnet.models import Model, PredictionError
from molnet.models.domain import OutsideDomainWarning
from molnet.progress import progress
from molnet.simulate.dynamics import Dynamics, Ended
from molnet.simulate.inputs import distinct_names, frames_of
from molnet.simulate.integrators import Ensemble
from molnet.simulate.recording import COLUMNS, Recording, RecordingError

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_SAVES = 5.0
"""A run that is killed loses at most so much, and the steps since the last frame."""


@dataclass(frozen=True)
class DynamicsSettings:
    """How structures move.

    Attributes:
        ensemble: see :class:`~molnet.simulate.dynamics.Dynamics`.
        temperatures: K; several at equal distances in time, linear between.
        time: ps, of the whole run.
        timestep: fs.
        interval: steps between two frames of the trajectory.
        replicas: how many times each structure runs.
        thermostat_time, pressure, barostat_time, compressibility, seed: see
            :class:`~molnet.simulate.integrators.Integrator`.
        stop_distance: a structure ends when its ``domain_distance`` exceeds it; None: never.
    """

    ensemble: Ensemble = "langevin"
    temperatures: list[float] = field(default_factory=lambda: [300.0])
    time: float = 10.0
    timestep: float = 0.5
    interval: int = 100
    replicas: int = 1
    thermostat_time: float = 100.0
    pressure: float = 0.0
    barostat_time: float = 1000.0
    compressibility: float = 0.457
    seed: int = 0
    stop_distance: float | None = 5.0

    @property
    def steps(self) -> int:
        """Of the whole run."""
        if not (0 < self.time < math.inf and 0 < self.timestep < math.inf):
            raise ValueError(
                f"expected time > 0 ps and timestep > 0 fs, received {self.time:g} and "
                f"{self.timestep:g}"
            )
        return round(1000 * self.time / self.timestep)

    @property
    def options(self) -> dict[str, Any]:
        """Those of the integrator."""
        names = ("timestep", "thermostat_time", "pressure", "barostat_time", "compressibility")
        return {name: getattr(self, name) for name in (*names, "seed")}


@dataclass
class DynamicsSummary:
    """What has become of a run; ``str(summary)`` is a table for people.

    Attributes:
        folder: of the run.
        names: of the structures.
        rows: of each structure: time in ps, mean and spread of the temperature in K over the second
            half, change of the total energy by a straight line in meV per atom and ps.
        ended: those that ended early.
        conserves: whether the total energy should be constant.
        rate: steps per second, since the last start.
    """

    folder: Path
    names: list[str]
    rows: list[tuple[float, float, float, float]]
    ended: list[Ended]
    conserves: bool
    rate: float

    def __str__(self) -> str:
        width = max([len("structure"), *map(len, self.names)])
        drift = "  drift (meV/atom/ps)" if self.conserves else ""
        lines = [f"{'structure':{width}}  time (ps)  temperature (K){drift}"]
        for name, (length, mean, spread, slope) in zip(self.names, self.rows, strict=True):
            line = f"{name:{width}}  {length:9.3f}  {mean:7.1f} ± {spread:5.1f}"
            lines.append(line + (f"  {slope:19.2g}" if self.conserves else ""))
        lines += [
            f"{self.names[end.place]} ended at step {end.step}: {end.reason}" for end in self.ended
        ]
        lines.append(f"{self.rate:.0f} steps/s; written to {self.folder}")
        return "\n".join(lines)


def run_dynamics(
    model: Model,
    input: str | Path | Sequence[str | Path],
    output: str | Path,
    settings: DynamicsSettings | None = None,
    *,
    origin: str = "",
    reading: ReadingOptions | None = None,
) -> DynamicsSummary:
    """Runs dynamics of every structure of one or several files, all at once.

    Args:
        model: with an energy and forces.
        input: a file that ASE reads, a glob, or several.
        output: a folder for ``trajectory.extxyz`` (one for each structure), ``log.csv`` and the
            state; it must not hold a run already.
        settings: how the structures move.
        origin: what the model is, for the record, such as the folder that it was loaded from.
        reading: what the files leave open.

    Returns:
        Times, temperatures, energy drifts, and who ended early.

    Raises:
        StructureFileError: a structure cannot be read or evaluated; the message has file and frame.
        ValueError: settings that are not possible.
        RecordingError: the folder holds a run, or is in use.
        OSError: the disk is full, or cannot be written to. What was saved by then is kept.
    """
    settings = settings or DynamicsSettings()
    if settings.interval < 1 or settings.replicas < 1:
        raise ValueError(
            "expected interval >= 1 and replicas >= 1, received "
            f"{settings.interval} and {settings.replicas}"
        )
    reading = reading or ReadingOptions()
    structures, places, names = _structures(input, reading, settings.replicas)
    recording = Recording(Path(output), len(structures))
    with recording.reserved():
        if recording.holds_run:
            raise RecordingError(
                f"{recording.folder} holds a run already. Continue it with "
                f"resume={recording.folder}, or choose another folder with output=FOLDER"
            )
        dynamics = _dynamics(model, structures, places, settings)
        recording.start(structures)
        distances = dynamics.distances()
        _tell_distances(distances, names)
        recording.add(dynamics, names, distances)
        recording.save(dynamics)
        recording.declare({**asdict(settings), "names": names, "model": origin})
        return _advance(dynamics, recording, names, settings)


def resume_dynamics(model: Model, folder: str | Path, time: float | None = None) -> DynamicsSummary:
    """Continues an interrupted run; it ends, bit for bit, as an uninterrupted one.

    Args:
        model: the same as before.
        folder: of the run.
        time: ps, a longer time for the whole run; by default that which it was started with.

    Raises:
        RecordingError: the folder holds no run, is damaged, or in use.
        ValueError: a time that is shorter than what is done, or of a run with a schedule.
        OSError: as :func:`run_dynamics`.
    """
    recording = Recording(Path(folder), 1)
    known = recording.settings()
    names = list(known.get("names", ()))
    settings = _settings(known, recording.folder)
    if time is not None and time != settings.time:
        if len(settings.temperatures) > 1:
            raise ValueError(
                f"the run has a schedule of temperatures over {settings.time:g} ps, which another "
                "time would change. Start a new run from its last frame."
            )
        settings = DynamicsSettings(**{**asdict(settings), "time": time})
    structures = recording.structures()
    recording = Recording(recording.folder, len(structures))
    with recording.reserved():
        dynamics = _dynamics(model, structures, names, settings)
        recording.restore(dynamics)
        if dynamics.done > settings.steps:
            raise ValueError(
                f"{dynamics.time / 1000:g} ps of the run are done, received time={settings.time:g}"
            )
        return _advance(dynamics, recording, names, settings)


def model_of_run(folder: str | Path) -> str:
    """What the model of a run was loaded from.

    Raises:
        RecordingError: the folder holds no run, or is damaged.
    """
    return str(Recording(Path(folder), 1).settings().get("model", ""))


def _settings(known: dict[str, Any], folder: Path) -> DynamicsSettings:
    try:
        return DynamicsSettings(
            **{entry.name: known[entry.name] for entry in fields(DynamicsSettings)}
        )
    except KeyError as error:
        raise RecordingError(
            f"{folder / 'settings.json'} is damaged: it lacks {error}. Start a new run."
        ) from error


def _structures(
    input: str | Path | Sequence[str | Path], reading: ReadingOptions, replicas: int
) -> tuple[list[Atoms], list[str], list[str]]:
    """All structures, where each was read, and their names."""
    structures, places, names = [], [], []
    files = resolve_paths(input)
    for file, of_file in zip(files, distinct_names(files), strict=True):
        frames = list(frames_of(file, reading))
        for _, number, atoms in frames:
            for replica in range(replicas):
                structures.append(atoms)
                places.append(frame_name(file, number))
                name = of_file if len(frames) == 1 else f"{of_file} {number}"
                names.append(name if replicas == 1 else f"{name} #{replica + 1}")
    return structures, places, names


def _dynamics(
    model: Model, structures: list[Atoms], places: Sequence[str], settings: DynamicsSettings
) -> Dynamics:
    try:
        return Dynamics(
            model,
            structures,
            settings.ensemble,
            settings.temperatures,
            steps=settings.steps,
            **settings.options,
        )
    except (StructureError, PredictionError) as error:
        raise StructureFileError(f"{places[error.index]}: {error}") from error


def _tell_distances(distances: NDArray[np.float64] | None, names: Sequence[str]) -> None:
    for name, distance in zip(names, () if distances is None else distances, strict=False):
        if distance > 1:
            warnings.warn(
                f"{name} lies outside of what the model was trained on (domain_distance "
                f"{distance:.1f} > 1): do not trust its dynamics",
                OutsideDomainWarning,
                stacklevel=3,
            )


def _advance(
    dynamics: Dynamics, recording: Recording, names: list[str], settings: DynamicsSettings
) -> DynamicsSummary:
    started, saved, before = time.monotonic(), time.monotonic(), dynamics.done
    told = len(dynamics.ended)
    with progress("dynamics", settings.steps, "steps") as shown:
        shown.advance(dynamics.done)
        while dynamics.done < settings.steps and len(dynamics.running):
            dynamics.step()
            shown.advance()
            if dynamics.done % settings.interval == 0 or dynamics.done == settings.steps:
                distances = dynamics.distances()  # as much work as a step: once for all uses
                recording.add(dynamics, names, distances)
                _end_distant(dynamics, distances, settings.stop_distance)
                if time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                    recording.save(dynamics)
                    saved = time.monotonic()
            for end in dynamics.ended[told:]:
                logger.warning("%s ended at step %d: %s", names[end.place], end.step, end.reason)
            told = len(dynamics.ended)
    recording.save(dynamics)
    seconds = max(time.monotonic() - started, 1e-9)
    return _summary(dynamics, recording, names, (dynamics.done - before) / seconds)


def _end_distant(
    dynamics: Dynamics, distances: NDArray[np.float64] | None, limit: float | None
) -> None:
    if distances is None or limit is None:
        return
    for place, distance in zip(dynamics.running.tolist(), distances.tolist(), strict=True):
        if distance > limit:
            dynamics.end(
                place,
                f"left what the model was trained on: domain_distance {distance:.1f} > {limit:g}",
            )


def _summary(
    dynamics: Dynamics, recording: Recording, names: list[str], rate: float
) -> DynamicsSummary:
    """From the table of the whole run, so also of the parts before an interruption."""
    with recording.table.open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    time_of, temperature, total = COLUMNS[0], COLUMNS[2], COLUMNS[5]
    rows = []
    for name, atoms in zip(names, dynamics.structures, strict=True):
        own = [row for row in table if row[COLUMNS[1]] == name]
        times = np.array([float(row[time_of]) for row in own]) / 1000
        temperatures = np.array([float(row[temperature]) for row in own])[len(own) // 2 :]
        energies = np.array([float(row[total]) for row in own]) * 1000 / len(atoms)
        slope = np.polyfit(times, energies, 1)[0] if len(own) > 2 else np.nan
        rows.append((times[-1], temperatures.mean(), temperatures.std(), float(slope)))
    conserves = dynamics.integrator.ensemble == "nve"
    return DynamicsSummary(recording.folder, names, rows, dynamics.ended, conserves, rate)
