"""Data sets from structure files of any format that ASE reads."""

import difflib
import logging
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from molnet.datasets.cache import store_folder
from molnet.datasets.labels import LabelKey, has_volume, parse_label_keys, places, read_label
from molnet.datasets.store import FORMAT_VERSION, ArrayStore, StoreWriter
from molnet.graph.charge import stated_spin, total_charge
from molnet.graph.frames import (
    DEFAULTS,
    ReadingOptions,
    StructureFileError,
    check_ending,
    count_frames,
    frame_name,
    read_frames,
    resolve_paths,
    units_in_files,
)
from molnet.graph.neighbours import StructureError
from molnet.graph.plausibility import drop_placeholder_cell, implausible
from molnet.progress import progress
from molnet.properties import Property
from molnet.stored import file_checksum

logger = logging.getLogger(__name__)

LOOKED_AT_FIRST = 1000
"""A key that none of this many first frames has is taken for a wrong key."""

Paths = str | Path | Iterable[str | Path]
"""A file, a glob, or several of these."""

IMPLAUSIBLE = {"forces": 1e3, "stress": 1e2}
"""Root mean squares in internal units beyond which a declared unit is most likely wrong."""


NEVER_ALL_ZERO = ("energy", "forces", "stress")
"""Properties whose values are placeholders if all of them are zero."""


class LabelNotFoundError(StructureFileError):
    """No frame has a label under the key that is given for it."""


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

    Returns:
        The store. ``manifest["source"]`` holds the files with their checksums and frame counts,
        and for each label its key, unit, count and root mean square in the internal unit.

    Raises:
        FileNotFoundError: a file is not there.
        UnitError: a unit is missing, unknown, of another kind than the property, or not the one
            that a file declares.
        StructureFileError: a file or a frame cannot be read or is not sound (two atoms at the same
            place, a number that is not finite, a label of the wrong shape) or not plausible, or
            labels are missing; with file and frame.
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
    settings = {
        "format_version": FORMAT_VERSION,
        "files": [(file["sha256"], file.get("part")) for file in source["files"]],
        "labels": [repr(key) for key in keys],
        "split_by": split_by,
        "accept_implausible": accept_implausible,
        "reading": repr(reading),
    }
    folder = store_folder(cache, name, settings)
    if not folder.is_dir():
        _build(folder, files, keys, source, accept_implausible, reading, split_by)
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


def _build(
    folder: Path,
    files: list[Path],
    keys: list[LabelKey],
    source: dict[str, Any],
    accept_implausible: bool,
    reading: ReadingOptions,
    split_by: str | None,
) -> None:
    tally = _Tally(keys)
    groups: dict[str, int] = {}
    properties = [key.quantity for key in keys]
    for file in files:
        check_ending(file, reading)
    counts = [count_frames(file, reading) for file in files]
    total = sum(count or 0 for count in counts) if None not in counts else None
    source["parts"] = {file["part"]: 0 for file in source["files"] if "part" in file}
    with (
        StoreWriter(folder, properties, source) as writer,
        progress("reading", total, "frames") as shown,
    ):
        for file, entry in zip(files, source["files"], strict=True):
            shown.description = f"reading {file.name}"
            entry["frames"] = 0
            remarks: Counter[str] = Counter()
            for frame, atoms in enumerate(read_frames(file, reading)):
                place = frame_name(file, frame)
                try:
                    remarks.update(_remarks(atoms, file, accept_implausible))
                    charge = tally.charge_of(atoms)
                    group = None if split_by is None else _group_of(atoms, split_by, groups)
                    found = {key.name: read_label(atoms, key) for key in keys}
                except (StructureFileError, StructureError) as error:
                    raise StructureFileError(f"{place}: {error}") from error
                if tally.is_complete(atoms, found, place):
                    writer.add(
                        atoms.numbers,
                        atoms.positions,
                        atoms.cell.array,
                        atoms.pbc,
                        {key.quantity.name: found[key.name] for key in keys},
                        charge,
                        group,
                    )
                    if "part" in entry:
                        source["parts"][entry["part"]] += 1
                entry["frames"] += 1
                shown.advance()
            entry["remarks"] = dict(remarks)
        tally.raise_if_missing()
        source["total_charges"] = {
            f"{charge:+d}" if charge else "0": count
            for charge, count in sorted(tally.charges.items())
        }
        source["unclear_charges"] = tally.unclear_charges
        source["groups"] = {"key": split_by, "count": len(groups)}
        source["spins"] = dict(sorted(tally.spins.items()))
        for name, entry in source["labels"].items():
            entry["count"] = tally.found[name]
            entry["rms"] = (tally.squares[name] / max(tally.found[name], 1)) ** 0.5


def _group_of(atoms: Atoms, key: str, groups: dict[str, int]) -> int:
    """The number of the structure's group, a new one for a new value of ``info[key]``."""
    if atoms.info.get(key) is None:
        raise StructureFileError(
            f"it has no {key!r} in its comment line (info), by which dataset.split_by={key} keeps "
            f"structures together. Found: {', '.join(map(repr, atoms.info)) or 'nothing'}."
        )
    return groups.setdefault(str(atoms.info[key]), len(groups))


def _remarks(atoms: Atoms, file: Path, accept_implausible: bool) -> Iterator[str]:
    """Removes a placeholder cell; yields sentences about the structure for the user.

    Raises:
        StructureError: the structure is not sound.
        StructureFileError: it is implausible, and the user has not accepted that.
    """
    if note := drop_placeholder_cell(atoms, file):
        yield note
    if doubt := implausible([atoms]).get(0):
        if not accept_implausible:
            raise StructureFileError(
                f"{doubt} If the structure is meant to be like this, set "
                "dataset.accept_implausible=true."
            )
        yield "implausible distances or density, accepted"


class _Tally:
    """Counts the labels found, and remembers which are missing where."""

    def __init__(self, keys: list[LabelKey]) -> None:
        self.keys = keys
        self.frames = 0
        self.found = dict.fromkeys((key.name for key in keys), 0)
        self.squares = dict.fromkeys(self.found, 0.0)
        self.missing = dict.fromkeys(self.found, 0)
        self.examples: dict[str, list[str]] = {name: [] for name in self.found}
        self.isolated: dict[str, dict[str, float]] = {name: {} for name in self.found}
        self.keys_seen: set[str] = set()
        self.charges: Counter[int] = Counter()
        self.unclear_charges = 0
        self.spins: Counter[str] = Counter()

    def charge_of(self, atoms: Atoms) -> int:
        """The total charge of one frame, 0 if unclear; counts charges and spins."""
        charge = total_charge(atoms)
        self.spins[stated_spin(atoms) or "not stated"] += 1
        if np.isnan(charge):
            self.unclear_charges += 1
            charge = 0.0
        self.charges[int(charge)] += 1
        return int(charge)

    def is_complete(
        self, atoms: Atoms, values: Mapping[str, np.ndarray | None], place: str
    ) -> bool:
        """Takes note of one frame; says whether it has all labels that it should have."""
        self.frames += 1
        complete = True
        for name, value in values.items():
            if value is not None:
                self.found[name] += 1
                self.squares[name] += float(np.mean(value**2))
            elif name not in ("stress", "virial") or has_volume(atoms):
                complete = False
                self.missing[name] += 1
                energy = values.get("energy")
                if len(atoms) == 1 and energy is not None:
                    self.isolated[name].setdefault(str(atoms.symbols), float(energy))
                if self.missing[name] <= 3:
                    self.examples[name].append(place)
        if self.frames <= LOOKED_AT_FIRST:
            self.keys_seen.update(key for where in places(atoms) for key in where)
        if self.frames == LOOKED_AT_FIRST:
            self._raise_if_never_found()
        return complete

    def raise_if_missing(self) -> None:
        """Raises the error that says which label is missing where."""
        self._raise_if_never_found()
        for name, count in self.missing.items():
            if count:
                raise StructureFileError(
                    f"{name} is missing in {count} of {self.frames} frames: "
                    f"{'; '.join(self.examples[name])}{'; ...' if count > 3 else ''}. Add it "
                    "there, leave these frames out, or leave this label out."
                    + self._isolated_atoms(name)
                )

    def _isolated_atoms(self, name: str) -> str:
        """What to do with frames of one atom, whose energies have a place of their own."""
        if not self.isolated[name]:
            return ""
        energies = ", ".join(f"{atom}: {value:.6f}" for atom, value in self.isolated[name].items())
        return (
            f" Frames of isolated atoms are among them: their energies (eV) go to "
            f"'target.references.energy={{{energies}}}'."
        )

    def _raise_if_never_found(self) -> None:
        for key in self.keys:
            if self.found[key.name]:
                continue
            present = sorted(self.keys_seen - {"numbers", "positions"})
            other_case = [name for name in present if name.lower() == key.key.lower()]
            nearest = other_case or difflib.get_close_matches(key.key, present, n=1)
            hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
            raise LabelNotFoundError(
                f"none of the {self.frames} frames read has {key.key!r}, the key given for "
                f"{key.name}.{hint} Keys found: {', '.join(present) or 'none'}. Correct "
                f"labels.{key.name}.key, or leave this label out."
            )


def _report(store: ArrayStore) -> None:
    """Logs what was found, and warns of magnitudes that only a wrong unit explains."""
    for file in store.manifest["source"]["files"]:
        for remark, count in file["remarks"].items():
            logger.warning("%s, %d of %d frames: %s", file["path"], count, file["frames"], remark)
    for name, label in store.manifest["source"]["labels"].items():
        found = f"{label['count']} of {len(store)} structures"
        logger.info("%s: %s, %r in %s", name, found, label["key"], label["unit"])
        if label["rms"] == 0 and label["count"] > 1 and label["property"] in NEVER_ALL_ZERO:
            warnings.warn(
                f"{name}: all {label['count']} values are exactly zero. Programs write zeros when "
                f"they have no values: does {label['key']!r} hold real ones?",
                stacklevel=3,
            )
        if label["rms"] > IMPLAUSIBLE.get(label["property"], np.inf):
            unit = store.properties[label["property"]].unit
            warnings.warn(
                f"{name}: the root mean square is {label['rms']:.3g} {unit}, which is "
                f"implausible. Is {label['unit']!r} really the unit of {label['key']!r}?",
                stacklevel=3,
            )
    groups = store.manifest["source"]["groups"]
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


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{what} ({count:,} structures)" for what, count in found.items())
