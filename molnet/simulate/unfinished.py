"""What an interrupted relaxation of many structures leaves on the disk, to go on from.

A folder beside the output: ``settings.json``, and ``finished.traj`` with each structure as it has
finished, which ``ase gui`` shows at any time. The folder goes when the output is complete.
"""

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ase.io.trajectory import TrajectoryReader, TrajectoryWriter

from molnet.simulate.relaxation import Relaxed
from molnet.simulate.writing import explained_place
from molnet.stored import write_whole

logger = logging.getLogger(__name__)


class UnfinishedError(ValueError):
    """An interrupted relaxation cannot be continued as asked."""


class Unfinished:
    """The finished structures of a relaxation, in the order in which they finished.

    Args:
        output: of the relaxation.
        settings: what the results depend on.
        resume: whether to go on with what an interrupted one has left; otherwise it is discarded.

    Raises:
        UnfinishedError: what is there was made with other settings, or is damaged.
        OSError: the place cannot be written to.
    """

    def __init__(self, output: Path, settings: Mapping[str, Any], resume: bool = True) -> None:
        self.folder = folder_of(output)
        self._rows: dict[int, int] = {}
        self._reader: TrajectoryReader | None = None
        path = self.folder / "finished.traj"
        with explained_place(self.folder):
            if not resume:
                self.remove()
            known = self._known()
            if known is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)
                write_whole(self.folder / "settings.json", json.dumps(dict(settings), indent=2))
            else:
                self._check(known, settings)
                self._take_in(path)
            self._writer = TrajectoryWriter(str(path), mode="a")

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, place: int) -> bool:
        return place in self._rows

    def add(self, relaxed: Relaxed) -> None:
        """Adds a structure; it is on the disk when this returns."""
        atoms = relaxed.atoms.copy()
        atoms.calc = relaxed.atoms.calc if relaxed.fault is None else None
        atoms.info = {
            "place": relaxed.place,
            "converged": relaxed.converged,
            "steps": relaxed.steps,
            "force": relaxed.force,
            "stress": relaxed.stress,
            "fault": relaxed.fault,
            "energies": relaxed.energies,
            "forces": relaxed.forces,
        }
        with explained_place(self.folder):
            self._writer.write(atoms)
        self._rows[relaxed.place] = len(self._rows)

    def __getitem__(self, place: int) -> Relaxed:
        if self._reader is None:
            self._reader = TrajectoryReader(str(self.folder / "finished.traj"))
        atoms = self._reader[self._rows[place]]
        told, atoms.info = atoms.info, {}
        return Relaxed(atoms=atoms, **told)

    def close(self) -> None:
        """Closes the files."""
        if self._reader is not None:
            self._reader.close()
        with explained_place(self.folder):
            self._writer.close()  # what a full disk had no room for is tried again

    def remove(self) -> None:
        """Removes the folder, when all is in the output."""
        if self.folder.exists():
            # First what makes it one that can be continued.
            (self.folder / "settings.json").unlink(missing_ok=True)
            shutil.rmtree(self.folder)

    def _known(self) -> dict[str, Any] | None:
        path = self.folder / "settings.json"
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise UnfinishedError(f"{path} is damaged ({error}): {_anew()}") from error
        return known if isinstance(known, dict) else {}

    def _check(self, known: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        for name, value in settings.items():
            if known.get(name) != value:
                was = f"{name}={known.get(name)}, now {name}={value}"
                if name in ("model", "input"):
                    was = f"another {name}"
                raise UnfinishedError(
                    f"{self.folder} holds an interrupted relaxation with {was}. Go on with what it "
                    f"was started with, or {_anew()}"
                )

    def _take_in(self, path: Path) -> None:
        if not path.exists() or not path.stat().st_size:
            return
        try:
            with TrajectoryReader(str(path)) as reader:
                for row in range(len(reader)):
                    self._rows[int(reader.backend[row].info["place"])] = row
        except Exception as error:
            raise UnfinishedError(f"{path} cannot be read ({error}): {_anew()}") from error


def folder_of(output: Path) -> Path:
    """Where an unfinished relaxation is kept."""
    return output.with_name(f"{output.name}.unfinished")


def _anew() -> str:
    return "begin anew with resume=false."
