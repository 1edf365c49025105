"""QM9: 130,831 organic molecules of up to nine C, N, O and F atoms, B3LYP/6-31G(2df,p).

R. Ramakrishnan, P. O. Dral, M. Rupp, O. A. von Lilienfeld, Sci. Data 1, 140022 (2014),
doi:10.1038/sdata.2014.22.

The published set has 133,885 molecules. The 3,054 *uncharacterized* ones relaxed to another
molecule than the intended one; they are left out here, as is usual.

There are two sources. The Python package ``qm9pack`` holds CSV files of the 130,831 molecules, with
polarizability tensors; those are turned into the frame of the geometries (see
:mod:`molnet.datasets.qm9_orientation`). The original archive on figshare holds one text file for
each molecule, without the tensors. Everything else is the same in both. Neither has dipole
vectors: ``mu`` is the norm.

``u0 u h g`` are total energies, not atomization energies. Reference energies of the elements are
fitted to the training part like those of any other data set.
"""

import csv
import hashlib
import importlib.util
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from molnet.cache import cache_folder, from_home
from molnet.datasets.archives import ArchiveError, read_members
from molnet.datasets.cache import store_folder
from molnet.datasets.download import RemoteFile, download
from molnet.datasets.qm9_orientation import turn_into_frame_of_geometry
from molnet.datasets.store import FORMAT_VERSION, ArrayStore, StoreWriter
from molnet.progress import progress
from molnet.properties import get_property
from molnet.stored import file_checksum
from molnet.units import conversion_factor

MOLECULES = 130_831
READER_VERSION = 1  # raised when the same source is read otherwise: old stores are built again

# property: its column in the CSV files, its unit; in the order of the archive's property line
PUBLISHED = {
    "mu": ("Dipole_debye", "Debye"),
    "alpha": ("Polarizability_bohr3", "Bohr^3"),
    "homo": ("HOMO_au", "Hartree"),
    "lumo": ("LUMO_au", "Hartree"),
    "gap": ("HOMO_LUMO_gap_au", "Hartree"),
    "r2": ("R2_bohr2", "Bohr^2"),
    "zpve": ("ZPVE_au", "Hartree"),
    "u0": ("InternalEnergy_0K_au", "Hartree"),
    "u": ("InternalEnergy_298K_au", "Hartree"),
    "h": ("Enthalphy_298K_au", "Hartree"),
    "g": ("GibbsFreeEnergy_298K_au", "Hartree"),
    "cv": ("Heatcapacity_Cv_cal_mol_K", "cal/(mol K)"),
}
UNITS = {name: unit for name, (_, unit) in PUBLISHED.items()} | {"charges": "e"}
TENSOR_UNIT = "Bohr^3"

# figshare's own sizes; its MD5 sums are ad1ebd51ee7f5b3a6e32e974e5d54012 for the archive and
# a361887bacb427b8a0ce7903d92a53b4 for the list. The last mirror is the PaddleMaterials project's.
ARCHIVE = RemoteFile(
    "dsgdb9nsd.xyz.tar.bz2",
    (
        "https://ndownloader.figshare.com/files/3195389",
        "https://springernature.figshare.com/ndownloader/files/3195389",
        "https://paddle-org.bj.bcebos.com/paddlematerials/datasets/qm9/dsgdb9nsd.xyz.tar.bz2",
    ),
    86_144_227,
    "3a63848ac80691bdb8d41834b575afad345b9300d7a2db0c38adb7f6eaa8360c",
)
UNCHARACTERIZED = RemoteFile(
    "uncharacterized.txt",
    (
        "https://ndownloader.figshare.com/files/3195404",
        "https://springernature.figshare.com/ndownloader/files/3195404",
    ),
    486_752,
    "3aa5115d540b356de94791d4a74c3bf1ed91c469ecf52a4f5d7cc0506fe02e24",
)
INSTALL = 'install the data as a package with `pip install -e ".[qm9]"` (no download at run time)'
REMEDY = (
    f"Without a connection, {INSTALL}, or give a file that you have with dataset.source=PATH: "
    f"{ARCHIVE.name} with {UNCHARACTERIZED.name} beside it."
)


log = logging.getLogger(__name__)


class QM9Error(ValueError):
    """A source of QM9 that is not there, not whole, or not readable."""


@dataclass
class Molecule:
    """One molecule as published: Å, and labels in :data:`UNITS` and :data:`TENSOR_UNIT`."""

    species: np.ndarray
    positions: np.ndarray
    labels: dict[str, float | np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """Where the molecules come from.

    Args:
        molecules: starts reading them.
        files: names and checksums of what is read.
        tensors: whether there are polarizability tensors.
        expected: how many molecules there must be; None for a user's own selection.
    """

    molecules: Callable[[], Iterator[Molecule]]
    files: dict[str, str]
    tensors: bool
    expected: int | None = None


def open_qm9(
    source: str | Path = "auto", cache: str | Path | None = None, verify: bool = False
) -> ArrayStore:
    """The store of QM9; built, with a progress bar, when first used.

    Labels, in internal units: ``mu alpha homo lumo gap r2 zpve u0 u h g cv``, ``charges``
    (Mulliken) and, from ``qm9pack``, ``polarizability``.

    Args:
        source: ``"package"``, the installed ``qm9pack``; ``"download"``, the original archive from
            figshare (86 MB); ``"auto"``, the package when it is installed and else the download;
            or the path of the archive, of a folder with its ``.xyz`` files (either with
            ``uncharacterized.txt`` beside it or in it), or of a folder with ``qm9pack``'s CSV
            files. A user's own files may hold any part of QM9.
        cache: folder for the store and the download; see
            :func:`molnet.cache.cache_folder`.
        verify: see :meth:`molnet.datasets.store.ArrayStore.open`.

    Raises:
        StoreError: the store is damaged.
        QM9Error: the source is not there, not whole, or not readable; says which file and line.
        DownloadError, ChecksumError: see :func:`molnet.datasets.download.download`.
        OSError: the store cannot be written.
    """
    chosen = _source(source, cache)
    settings = {
        "format_version": FORMAT_VERSION,
        "reader_version": READER_VERSION,
        "files": chosen.files,
    }
    folder = store_folder(cache, "qm9", settings)
    if not folder.is_dir():
        _build(folder, chosen)
    return ArrayStore.open(folder, verify)


def _source(source: str | Path, cache: str | Path | None) -> Source:
    package = _package_folder()
    if source == "package" and package is None:
        raise QM9Error(f"dataset.source=package needs qm9pack, which is not installed: {INSTALL}")
    if package is not None and source in ("auto", "package"):
        return _csv_source(package, MOLECULES)
    if source in ("auto", "download"):
        downloads = cache_folder(cache) / "downloads"
        excluded = download(UNCHARACTERIZED, downloads, REMEDY)
        return _archive_source(download(ARCHIVE, downloads, REMEDY), excluded, MOLECULES)
    path = from_home(source)
    if path.is_file():
        return _archive_source(path, _beside(path.parent))
    if path.is_dir() and any(path.glob("qm9_part*.csv")):
        return _csv_source(path)
    if path.is_dir() and any(path.glob("*.xyz")):
        return _folder_source(path, _beside(path))
    found = "a folder without such files" if path.is_dir() else "nothing there"
    raise QM9Error(
        f"expected dataset.source to be auto, package, download, the path of {ARCHIVE.name}, or a "
        f"folder with its .xyz files or with qm9pack's CSV files; got {str(source)!r}: {found}"
    )


def _package_folder() -> Path | None:
    spec = importlib.util.find_spec("qm9pack")  # importing it would need more than its files
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "data"


def _beside(folder: Path) -> Path:
    for place in (folder / UNCHARACTERIZED.name, folder.parent / UNCHARACTERIZED.name):
        if place.is_file():
            return place
    raise QM9Error(
        f"expected {UNCHARACTERIZED.name}, the list of molecules to leave out, in {folder}. Fetch "
        f"it from {UNCHARACTERIZED.urls[0]}"
    )


def _build(folder: Path, source: Source) -> None:
    units = UNITS | ({"polarizability": TENSOR_UNIT} if source.tensors else {})
    properties = [get_property(name) for name in units]
    factors = {p.name: conversion_factor(units[p.name], p.unit) for p in properties}
    described = {"name": "QM9", "files": source.files, "units": units}
    with (
        StoreWriter(folder, properties, described) as writer,
        progress("building the QM9 store", source.expected, "molecules") as shown,
    ):
        molecules = source.molecules()
        while block := list(islice(molecules, 512)):
            if source.tensors:
                _turn_tensors(block)
            for molecule in block:
                labels = {name: molecule.labels[name] * factors[name] for name in units}
                writer.add(molecule.species, molecule.positions, labels=labels)
            shown.advance(len(block))
        if source.expected not in (None, writer.structures):
            raise QM9Error(
                f"expected {source.expected:,} molecules of QM9, found {writer.structures:,} in "
                f"{', '.join(source.files)}: the source is not whole. Install or download it again."
            )


def _turn_tensors(block: list[Molecule]) -> None:
    size = max(len(molecule.species) for molecule in block)
    species = np.zeros((len(block), size), dtype=np.int64)
    positions = np.zeros((len(block), size, 3))
    for row, molecule in enumerate(block):
        species[row, : len(molecule.species)] = molecule.species
        positions[row, : len(molecule.species)] = molecule.positions
    tensors = np.array([molecule.labels["polarizability"] for molecule in block])
    turned = turn_into_frame_of_geometry(species, positions, tensors)
    for molecule, tensor in zip(block, turned, strict=True):
        molecule.labels["polarizability"] = tensor


# ------------------------------------------------------------------- the CSV files of qm9pack


def _csv_source(folder: Path, expected: int | None = None) -> Source:
    parts = sorted(folder.glob("qm9_part*.csv"))
    tensors = folder / "qm9_polarizability.csv"
    for file in (*parts, tensors):
        if not file.is_file():
            raise QM9Error(f"expected qm9pack's file {file}, which is missing. Install it again.")
    files = {file.name: file_checksum(file) for file in (*parts, tensors)}
    return Source(lambda: _read_csv(parts, tensors), files, tensors=True, expected=expected)


def _read_csv(parts: list[Path], tensors: Path) -> Iterator[Molecule]:
    tensor_rows = _csv_rows(tensors, ["XYZ_file", "A_xx", "A_xy", "A_xz", "A_yy", "A_yz", "A_zz"])
    columns = ["XYZ_file", "Elements", "XYZ_Ang", "Mulliken_pop"]
    columns += [column for column, _ in PUBLISHED.values()]
    for part in parts:
        for line, (name, elements, positions, charges, *values) in _csv_rows(part, columns):
            _, (tensor_name, *components) = next(tensor_rows, (0, ["no more rows"]))
            if tensor_name != name:
                raise QM9Error(f"{tensors}: expected {name} ({part.name}), got {tensor_name}")
            try:
                species = np.array([atomic_numbers[s] for s in elements[2:-2].split("','")])
                xx, xy, xz, yy, yz, zz = (float(component) for component in components)
                labels: dict[str, float | np.ndarray] = {
                    label: float(value) for label, value in zip(PUBLISHED, values, strict=True)
                }
                labels["charges"] = _list_of_numbers(charges)
                labels["polarizability"] = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
                yield Molecule(species, _list_of_numbers(positions).reshape(-1, 3), labels)
            except (ValueError, KeyError) as error:
                raise QM9Error(
                    f"{part}, line {line}: {name} cannot be read: {_reason(error)}"
                ) from error
    for line, (name, *_) in tensor_rows:
        raise QM9Error(f"{tensors}, line {line}: {name} has no row in {', '.join(map(str, parts))}")


def _csv_rows(file: Path, columns: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Line numbers, and the values of the named columns in that order."""
    with open(file, newline="") as stream:
        reader = csv.reader(stream)
        header = next(reader, [])
        missing = set(columns) - set(header)
        if missing:
            raise QM9Error(f"{file}: expected the columns {sorted(missing)}, got {header}")
        places = [header.index(column) for column in columns]
        for row in reader:
            if len(row) != len(header):
                raise QM9Error(
                    f"{file}, line {reader.line_num}: expected {len(header)} values, got {len(row)}"
                )
            yield reader.line_num, [row[place] for place in places]
    _check_last_line(file)


def _check_last_line(file: Path) -> None:
    """A table that was cut within its last number has no line end."""
    with open(file, "rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(size - 1, 0))
        if stream.read() != b"\n":
            raise QM9Error(f"{file} was cut short: its last line does not end")


def _list_of_numbers(text: str) -> np.ndarray:
    """``"[[0.,1.],[2.,3.]]"`` without its nesting."""
    return np.array(text.translate({91: None, 93: None}).split(","), dtype=np.float64)


# --------------------------------------------------------------- the original archive's format


def _archive_source(archive: Path, excluded: Path, expected: int | None = None) -> Source:
    files = {file.name: file_checksum(file) for file in (archive, excluded)}
    left_out = _read_excluded(excluded)
    return Source(lambda: _read_archive(archive, left_out), files, tensors=False, expected=expected)


def _folder_source(folder: Path, excluded: Path) -> Source:
    files = sorted(folder.glob("*.xyz"))
    identity = hashlib.sha256()
    for file in files:
        identity.update(f"{file.name} {file_checksum(file)}\n".encode())
    names = {folder.name: identity.hexdigest(), excluded.name: file_checksum(excluded)}
    left_out = _read_excluded(excluded)

    def molecules() -> Iterator[Molecule]:
        for file in files:
            index, molecule = _read_xyz(file.read_bytes(), str(file))
            if index not in left_out:
                yield molecule

    return Source(molecules, names, tensors=False)


def _read_excluded(path: Path) -> set[int]:
    """The indices, first in their lines, of the table of uncharacterized molecules."""
    words = (line.split(maxsplit=1) for line in path.read_text().splitlines())
    indices = {int(word[0]) for word in words if word and word[0].isdecimal()}
    if not indices:
        raise QM9Error(f"{path}: expected lines that begin with a molecule's index, found none")
    if file_checksum(path) != UNCHARACTERIZED.sha256:
        _check_last_line(path)
        log.warning(
            "%s is not the published list: %s molecules are left out instead of 3,054.",
            path,
            f"{len(indices):,}",
        )
    return indices


def _read_archive(archive: Path, left_out: set[int]) -> Iterator[Molecule]:
    try:
        for name, data in read_members(archive, ".xyz"):
            index, molecule = _read_xyz(data, f"{archive}: {name}")
            if index not in left_out:
                yield molecule
    except ArchiveError as error:
        raise QM9Error(f"{error}. Copy or download it again") from error


def _read_xyz(data: bytes, place: str) -> tuple[int, Molecule]:
    """Index and molecule from one of the archive's files.

    The lines: number of atoms N; ``gdb``, index, rotational constants A B C and the properties of
    :data:`PUBLISHED`; N lines of element, x, y, z, Mulliken charge; frequencies; SMILES; InChI.
    """
    try:
        lines = data.decode().replace("*^", "e").splitlines()  # 1.5*^-6 is Mathematica's 1.5e-6
        atoms = int(lines[0])
        header = lines[1].split()
        if len(header) != 5 + len(PUBLISHED):
            raise ValueError(f"expected {5 + len(PUBLISHED)} entries in line 2, got {len(header)}")
        rows = [line.split() for line in lines[2 : 2 + atoms]]
        labels: dict[str, float | np.ndarray] = {
            name: float(value) for name, value in zip(PUBLISHED, header[5:], strict=True)
        }
        species = np.array([atomic_numbers[row[0]] for row in rows])
        numbers = np.array([row[1:5] for row in rows], dtype=np.float64)
        if numbers.shape != (atoms, 4):
            raise ValueError(f"expected {atoms} atoms with x, y, z and a charge")
        if len(lines) < 5 + atoms:
            raise ValueError(f"expected {5 + atoms} lines, got {len(lines)}: it was cut short")
        labels["charges"] = numbers[:, 3]
        return int(header[1]), Molecule(species, numbers[:, :3], labels)
    except (ValueError, KeyError, IndexError) as error:
        raise QM9Error(f"{place} cannot be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return f"{error} is not an element" if isinstance(error, KeyError) else str(error)
