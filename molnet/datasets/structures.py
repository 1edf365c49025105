"""Data sets from structure files of any format that ASE reads."""

import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from molnet.datasets.cache import store_folder
from molnet.datasets.columns import KeptColumns
from molnet.datasets.labels import LabelKey, parse_label_keys
from molnet.datasets.pieces import Kept, Piece, PieceReader
from molnet.datasets.reading import MadeByAnotherError, pieces_in_order, remove_pieces, tasks_of
from molnet.datasets.references import read_isolated_atoms
from molnet.datasets.store import FORMAT_VERSION, ArrayStore, StoreWriter
from molnet.datasets.tally import Tally
from molnet.graph.frames import (
    DEFAULTS,
    ReadingOptions,
    StructureFileError,
    check_ending,
    resolve_paths,
    units_in_files,
)
from molnet.progress import progress
from molnet.properties import Property
from molnet.stored import file_checksum

logger = logging.getLogger(__name__)

Paths = str | Path | Iterable[str | Path]
"""A file, a glob, or several of these."""

IMPLAUSIBLE = {"forces": 1e3, "stress": 1e2}
"""Root mean squares in internal units beyond which a declared unit is most likely wrong."""


NEVER_ALL_ZERO = ("energy", "forces", "stress")
"""Properties whose values are placeholders if all of them are zero."""


def open_structures(
    path: Paths,
    labels: Mapping[str, Mapping[str, str]],
    name: str = "structures",
    cache: str | Path | None = None,
    declared: dict[str, Property] | None = None,
    verify: bool = False,
    accept_implausible: bool = False,
    reading: ReadingOptions = DEFAULTS,
    validation_path: Paths | None = None,
    test_path: Paths | None = None,
    split_by: str | None = None,
    isolated_atoms: Paths | None = "auto",
) -> ArrayStore:
    """The store of one or several structure files; built, with a progress bar, when first used.

    Example::

        open_structures("md/*.xyz", {
            "energy": {"key": "REF_energy", "unit": "Hartree"},
            "forces": {"key": "REF_forces", "unit": "Hartree/Bohr"},
        })

    Labels are looked for in ``atoms.info``, ``atoms.arrays`` and the results of an attached
    calculator, where they are taken as they stand: constraints never zero a force.

    A stress is 3×3, or six numbers in ASE's order (xx, yy, zz, yz, xz, xy), positive under tension:
    σ = (1/V) ∂E/∂ε. ``virial`` may be declared in its place, in a unit of energy: σ = −virial / V.
    Structures without a volume need none; theirs is NaN in the store.

    Args:
        path: a file, a glob, or several of these. Files may be larger than memory.
        labels: for each property the key in the files and the unit of the values there.
        name: the first part of the store's folder name.
        cache: folder for the store; see :func:`molnet.cache.cache_folder`.
        declared: properties beyond :data:`molnet.properties.PROPERTIES`.
        verify: see :meth:`molnet.datasets.store.ArrayStore.open`.
        accept_implausible: accept structures with impossible distances or densities, with a
            warning; see :func:`molnet.graph.plausibility.implausible`.
        reading: what the files leave open: their format, the elements of their atom types, the
            unit of their positions, and what to do about disorder.
        validation_path: files whose structures are the validation part; they come after those of
            ``path``.
        test_path: files whose structures are the test part; they come last.
        split_by: a key of ``info``; structures with the same value stay in one part of a split.
        isolated_atoms: ``"auto"``: frames of isolated atoms (see :func:`is_isolated_atom`) are no
            structures of the store, unless there are no others; their energies are kept as
            reference energies. Files: these hold the isolated atoms, which have precedence over
            those among the structures. None: isolated atoms are structures like all others.

    Frames without any of the labels are left out. A label that is missing in a frame is NaN.

    Returns:
        The store. ``manifest["source"]`` holds the files with their checksums and frame counts,
        for each label its key, unit, count, range and root mean square in the internal unit, and
        under ``isolated_atoms`` energies by label and symbol. Numbers and short words of ``info``
        are the :meth:`~molnet.datasets.store.ArrayStore.columns`, at most 32.

    Raises:
        FileNotFoundError: a file is not there.
        UnitError: a unit is missing, unknown, of another kind than the property, or not the one
            that a file declares.
        StructureFileError: a file or a frame cannot be read or is not sound (two atoms at the same
            place, a number that is not finite, a label of the wrong shape) or not plausible; with
            file and frame.
        LabelNotFoundError: no frame has one of the labels.
        StoreError: the store is damaged.
        OSError: the store cannot be written.
    """
    listed = _files_of_parts(path, validation_path, test_path)
    files = [Path(file["path"]) for file in listed]
    keys = parse_label_keys(labels, declared, units_in_files(files, reading))
    source: dict[str, Any] = {
        "files": listed,
        "labels": {
            key.name: {"property": key.quantity.name, "key": key.key, "unit": key.unit}
            for key in keys
        },
    }
    energies = _of_isolated_atoms(keys, isolated_atoms)
    settings = {
        "format_version": FORMAT_VERSION,
        "files": [(file["sha256"], file.get("part")) for file in source["files"]],
        "labels": [repr(key) for key in keys],
        "split_by": split_by,
        "isolated_atoms": isolated_atoms == "auto" or energies,
        "accept_implausible": accept_implausible,
        "reading": repr(reading),
    }
    folder = store_folder(cache, name, settings)
    if not folder.is_dir():
        reader = PieceReader(
            keys, accept_implausible, reading, split_by, isolated_atoms is not None
        )
        _build(folder, reader, source, energies)
    store = ArrayStore.open(folder, verify)
    _report(store)
    return store


def _files_of_parts(
    path: Paths, validation_path: Paths | None, test_path: Paths | None
) -> list[dict[str, Any]]:
    """The files, each with its checksum and, where it is a part of its own, with that part.

    Raises:
        FileNotFoundError, StructureFileError: as :func:`open_structures`.
    """
    files: list[dict[str, Any]] = []
    seen: dict[str, tuple[str, Path]] = {}
    for option, named in (
        ("path", path),
        ("validation_path", validation_path),
        ("test_path", test_path),
    ):
        if named is None:
            continue
        for file in resolve_paths(named):
            checksum = file_checksum(file)
            before, same = seen.setdefault(checksum, (option, file))
            if before != option:
                raise StructureFileError(
                    f"dataset.{option}: {file} has the same content as {same} in "
                    f"dataset.{before}. A structure must be in one part alone: name other files."
                )
            part = {} if option == "path" else {"part": option.removesuffix("_path")}
            files.append({"path": str(file), "sha256": checksum} | part)
    return files


def _of_isolated_atoms(
    keys: Sequence[LabelKey], isolated_atoms: Paths | None
) -> dict[str, dict[str, float]]:
    """Energies of isolated atoms in files of their own, by label and symbol."""
    if isolated_atoms is None or isolated_atoms == "auto":
        return {}
    return {
        key.name: read_isolated_atoms(isolated_atoms, key.key, key.unit, key.quantity)
        for key in keys
        if key.quantity.is_total_energy
    }


def _build(
    folder: Path,
    reader: PieceReader,
    source: dict[str, Any],
    energies: dict[str, dict[str, float]],
) -> None:
    """Read all files and write the store; completes ``source``."""
    files = [Path(entry["path"]) for entry in source["files"]]
    for file in files:
        check_ending(file, reader.reading)
    try:
        tasks, total = tasks_of(files, reader)
        properties = [key.quantity for key in reader.keys]
        with (
            StoreWriter(folder, properties, source) as writer,
            progress("reading", total, "frames") as shown,
            closing(pieces_in_order(tasks, reader, folder, shown.advance)) as pieces,
        ):
            joining = _Joining(reader.keys, writer)
            for task, piece in pieces:
                shown.description = f"reading {task.path.name}"
                joining.add(source["files"][task.file], piece)
            joining.finish(reader.split_by, energies)
    except MadeByAnotherError:
        return
    except StructureFileError:
        remove_pieces(folder)  # other files, or other settings, make other pieces
        raise
    remove_pieces(folder)


class _Joining:
    """Puts pieces together: what depends on the frames before.

    Args:
        keys: of the labels.
        writer: of the store, whose ``source`` is completed.
    """

    def __init__(self, keys: Sequence[LabelKey], writer: StoreWriter) -> None:
        self.writer = writer
        self.source = writer.source
        self.tally = Tally(keys)
        self.columns = KeptColumns()
        self.groups: dict[str, int] = {}
        self.isolated: list[Kept] = []  # held back, as long as there are no others
        self.references = Tally(keys)
        self.source["parts"] = {
            entry["part"]: 0 for entry in self.source["files"] if "part" in entry
        }
        for entry in self.source["files"]:
            entry |= {"frames": 0, "left_out": [], "remarks": {}}

    def add(self, entry: dict[str, Any], piece: Piece) -> None:
        """Take in the next frames of a file, whose entry in ``source`` is given."""
        self.tally.include(piece.structures.tally)
        self.columns.meet(piece.column_names)
        entry["frames"] += piece.frames
        entry["left_out"] += piece.left_out
        for remark, count in piece.remarks.items():
            entry["remarks"][remark] = entry["remarks"].get(remark, 0) + count
        groups = [self.groups.setdefault(value, len(self.groups)) for value in piece.groups]
        for kept in (piece.structures, piece.isolated):
            if groups:
                kept.arrays["group"] = np.array(groups, np.int32)[kept.arrays["group"]]
        if len(piece.structures.arrays["counts"]):
            self.isolated.clear()
            self._write(piece.structures)
            if "part" in entry:
                self.source["parts"][entry["part"]] += len(piece.structures.arrays["counts"])
        if piece.isolated_frames:
            entry["isolated"] = entry.get("isolated", []) + piece.isolated_frames
            if "part" not in entry:
                self.references.include_references(piece.isolated.tally)
            if not self.writer.structures:
                self.isolated.append(piece.isolated)

    def finish(self, split_by: str | None, energies: dict[str, dict[str, float]]) -> None:
        """Complete ``source``."""
        alone = self.writer.structures == 0  # a data set of atoms
        for kept in self.isolated:
            self.tally.include(kept.tally)
            self._write(kept)
        if not alone:
            self.tally.include_references(self.references)
        for entry in self.source["files"]:
            isolated = entry.pop("isolated", [])
            if not alone:
                entry["left_out"] = sorted(entry["left_out"] + isolated)
        self.tally.raise_if_never_found()
        self.source |= self.tally.summary(self.source["labels"], energies)
        self.source["groups"] = {"key": split_by, "count": len(self.groups)}
        self.source["columns"] = {
            name: count for name, count in self.columns.counts.items() if count
        }
        if self.columns.left_out is not None:
            self.source["remarks"].append(
                f"of the numbers and words in info the first {len(self.columns.counts)} are kept; "
                f"{self.columns.left_out!r} is not"
            )

    def _write(self, kept: Kept) -> None:
        self.writer.extend(self.columns.keep(kept.arrays, kept.columns))


def _report(store: ArrayStore) -> None:
    """Logs what was found, and warns of magnitudes that only a wrong unit explains."""
    for file in store.manifest["source"]["files"]:
        for remark, count in file["remarks"].items():
            logger.warning("%s, %d of %d frames: %s", file["path"], count, file["frames"], remark)
    for name, label in store.manifest["source"]["labels"].items():
        unit = store.properties[label["property"]].unit
        logger.info(
            "%s: %s, key %r in %s%s",
            name,
            _found(label, store),
            label["key"],
            label["unit"],
            f", {label['low']:.6g} to {label['high']:.6g} {unit}" if label["count"] else "",
        )
        if label["rms"] == 0 and label["count"] > 1 and label["property"] in NEVER_ALL_ZERO:
            warnings.warn(
                f"{name}: all {label['count']} values are exactly zero. Programs write zeros when "
                f"they have no values: does {label['key']!r} hold real ones?",
                stacklevel=3,
            )
        if label["rms"] > IMPLAUSIBLE.get(label["property"], np.inf):
            warnings.warn(
                f"{name}: the root mean square is {label['rms']:.3g} {unit}, which is "
                f"implausible. Is {label['unit']!r} really the unit of {label['key']!r}?",
                stacklevel=3,
            )
    source = store.manifest["source"]
    for name, energies in source["isolated_atoms"].items():
        taken_out = f", of which {source['isolated']} frames are not trained on"
        logger.info(
            "%s: counted from that of isolated atoms, %s%s",
            name,
            ", ".join(f"{symbol} {value:.4f}" for symbol, value in energies.items()),
            taken_out if source["isolated"] else "",
        )
    for remark in source["remarks"]:
        logger.warning("%s", remark)
    groups = source["groups"]
    if groups["key"] is not None:
        logger.info("split by %r: %s groups", groups["key"], f"{groups['count']:,}")
    charges, spins = (store.manifest["source"][name] for name in ("total_charges", "spins"))
    if set(charges) != {"0"}:
        logger.info("total charges in e: %s", _counts(charges))
    if unclear := store.manifest["source"]["unclear_charges"]:
        logger.warning(
            "the initial charges of %d structures do not add up to a whole number: these "
            "structures are taken as neutral. If one is an ion, state its info['charge'].",
            unclear,
        )
    if len(spins) > 1:
        logger.warning(
            "the structures differ in spin (%s). The model does not see the spin: the same "
            "geometry with another spin gets the same predictions",
            _counts(spins),
        )


def _found(label: Mapping[str, Any], store: ArrayStore) -> str:
    """How many structures, and atoms if it is only some of them, have a label."""
    text = f"{label['count']:,} of {len(store):,} structures"
    if label["rows"] < label["rows_of_labelled"]:
        text += f", {label['rows']:,} of their {label['rows_of_labelled']:,} atoms"
    return text


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{what} ({count:,} structures)" for what, count in found.items())
