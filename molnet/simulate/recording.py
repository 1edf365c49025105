"""What dynamics leave on the disk: trajectories, a table of numbers, and the state to go on from.

After a crash or a kill the files hold more than the last saved state knows of. The state holds how
long each file was, so that a continued run cuts off the rest.
"""

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import ase.io
import numpy as np
from ase import Atoms, units
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from molnet.simulate.dynamics import Dynamics
from molnet.stored import write_whole

COLUMNS = (
    "time (fs)",
    "structure",
    "temperature (K)",
    "potential energy (eV)",
    "kinetic energy (eV)",
    "total energy (eV)",
    "pressure (GPa)",
    "volume (Å³)",
    "domain_distance",
)


class RecordingError(ValueError):
    """A folder does not hold what is needed to go on."""


class Recording:
    """The folder of one run.

    Args:
        folder: made if it is not there.
        structures: how many trajectories there are.
    """

    def __init__(self, folder: Path, structures: int) -> None:
        self.folder = folder
        width = len(str(structures - 1))
        names = [f"trajectory-{place:0{width}}.extxyz" for place in range(structures)]
        self.trajectories = [folder / name for name in names]
        if structures == 1:
            self.trajectories = [folder / "trajectory.extxyz"]
        self.table = folder / "log.csv"
        self._state = folder / "state.npz"

    def start(self, structures: Sequence[Atoms]) -> None:
        """Writes the structures that a run starts from, and empty files."""
        with self._explained():
            self.folder.mkdir(parents=True, exist_ok=True)
            ase.io.write(self.folder / "start.traj", list(structures))
            for path in self.trajectories:
                path.write_bytes(b"")
            with self.table.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerow(COLUMNS)

    def declare(self, settings: Mapping[str, Any]) -> None:
        """Writes the settings of a run whose first state is saved.

        From now on the folder holds a run, which can be continued, and is not overwritten.
        """
        with self._explained():
            write_whole(self.folder / "settings.json", json.dumps(settings, indent=2).encode())

    def add(
        self,
        dynamics: Dynamics,
        names: Sequence[str],
        distances: NDArray[np.float64] | None,
    ) -> None:
        """Adds the present structures and numbers.

        Args:
            dynamics: as they are now.
            names: of all structures.
            distances: :meth:`Dynamics.distances` of those that run.
        """
        state, integrator = dynamics.state, dynamics.integrator
        kinetic = integrator.kinetic_energies(state.momenta)
        temperatures = integrator.temperatures(state.momenta)
        pressures = integrator.pressures(state) / units.GPa
        volumes = np.abs(np.linalg.det(state.cells))
        rows = []
        for row, place in enumerate(dynamics.running.tolist()):
            atoms = dynamics.atoms(place)
            atoms.info |= {"time": dynamics.time, "step": dynamics.done}
            if distances is not None:
                atoms.info["domain_distance"] = float(distances[row])
            text = io.StringIO()
            ase.io.write(text, atoms, format="extxyz")
            with self._explained(), self.trajectories[place].open("ab") as file:
                file.write(text.getvalue().encode())
            potential = float(state.evaluation.energies[row])
            numbers = [
                temperatures[row],
                potential,
                kinetic[row],
                potential + kinetic[row],
                pressures[row],
                volumes[row] if volumes[row] > 0 else np.nan,
                np.nan if distances is None else distances[row],
            ]
            shown = ["" if np.isnan(number) else f"{number:.8g}" for number in numbers]
            shown[1:4] = [f"{number:.6f}" for number in numbers[1:4]]
            rows.append([f"{dynamics.time:.3f}", names[place], *shown])
        with self._explained(), self.table.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)

    def save(self, dynamics: Dynamics) -> None:
        """Saves the state, after all that was added is safely on the disk."""
        lengths = {}
        for path in [*self.trajectories, self.table]:
            with self._explained(), path.open("rb") as file:
                os.fsync(file.fileno())
            lengths[path.name] = path.stat().st_size
        saved = dynamics.saved()
        arrays: dict[str, Any] = {
            name: value for name, value in saved.items() if isinstance(value, np.ndarray)
        }
        plain = {name: value for name, value in saved.items() if name not in arrays}
        data = io.BytesIO()
        np.savez(data, plain=np.array(json.dumps({**plain, "lengths": lengths})), **arrays)
        with self._explained():
            write_whole(self._state, data.getvalue())

    def restore(self, dynamics: Dynamics) -> None:
        """Brings dynamics and files to the last saved state.

        Raises:
            RecordingError: the state or a file is damaged or missing.
        """
        try:
            with np.load(self._state, allow_pickle=False) as arrays:
                saved: dict[str, Any] = {name: arrays[name] for name in arrays.files}
            saved |= json.loads(str(saved.pop("plain")))
            saved.setdefault("stresses", None)
            lengths = saved["lengths"]
            for path in [*self.trajectories, self.table]:
                if path.stat().st_size < lengths[path.name]:
                    raise RecordingError(
                        f"{path} holds {path.stat().st_size} bytes, expected at least "
                        f"{lengths[path.name]}: it was cut or replaced. Start a new run."
                    )
            dynamics.restore(saved)
        except RecordingError:
            raise
        except (OSError, ValueError, KeyError, EOFError, TypeError, BadZipFile) as error:
            raise RecordingError(
                f"cannot go on from {self._state} ({error}). Start a new run."
            ) from error
        for path in [*self.trajectories, self.table]:
            os.truncate(path, lengths[path.name])

    @property
    def holds_run(self) -> bool:
        """Whether there is a run, which can be continued."""
        return (self.folder / "settings.json").exists()

    def settings(self) -> dict[str, Any]:
        """What :meth:`declare` was given.

        Raises:
            RecordingError: the folder holds no run, or its settings are damaged.
        """
        path = self.folder / "settings.json"
        try:
            settings = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RecordingError(f"{self.folder} holds no run of dynamics: no {path}") from None
        except ValueError as error:
            raise RecordingError(f"{path} is damaged: {error}. Start a new run.") from error
        if not isinstance(settings, dict):
            raise RecordingError(f"{path} is damaged: expected an object. Start a new run.")
        return settings

    def structures(self) -> list[Atoms]:
        """The structures that the run started from."""
        path = self.folder / "start.traj"
        try:
            return list(ase.io.iread(path, index=":"))
        except Exception as error:
            raise RecordingError(f"{path} cannot be read: {error}. Start a new run.") from error

    def frames(self, place: int) -> list[Atoms]:
        """The trajectory of one structure."""
        return list(ase.io.iread(self.trajectories[place], index=":"))

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Within this block no other process writes to the folder.

        Raises:
            RecordingError: another one does.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise RecordingError(
                f"another process is writing to {self.folder}. Wait until it has ended, or choose "
                "another folder with output=FOLDER"
            ) from None
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Within this block errors of the disk say what is kept and how to go on."""
        try:
            yield
        except OSError as error:
            then = "Make room and start again"
            if self.holds_run:
                then = (
                    "The run is kept as it was when it was last saved: make room and continue it "
                    f"with resume={self.folder}"
                )
            message = f"cannot write here ({error.strerror}). {then}"
            raise OSError(error.errno, message, str(error.filename or self.folder)) from error
