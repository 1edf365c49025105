"""CIF: every data block with a structure; disorder is refused, or one ordered choice is taken."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from ase import Atoms
from ase.io.cif import CIFBlock, parse_cif

from molnet.graph.elements import ATOMIC_NUMBERS
from molnet.graph.reading.cell import check_cell
from molnet.graph.reading.cif_disorder import Site, disordered_sites, majority
from molnet.graph.reading.disorder import refuse_disorder
from molnet.graph.reading.errors import StructureFileError, frame_name
from molnet.graph.reading.options import ReadingOptions
from molnet.graph.reading.symbols import ISOTOPES, Symbols
from molnet.graph.reading.text import read_text

SITE = "_atom_site_"


def read_cif(path: Path, options: ReadingOptions) -> Iterator[Atoms]:
    """The structure of every data block that has sites.

    Raises:
        StructureFileError: partly occupied or mixed sites (unless the options say how to choose),
            or a site without an element or a position.
    """
    symbols = Symbols(options)
    frame = 0
    for block in parse_cif(io.StringIO(read_text(path))):
        labels = block.get(f"{SITE}label") or block.get(f"{SITE}type_symbol")
        place = f"{frame_name(path, frame)} (data_{block.name})"
        if labels is None:
            if {f"{SITE}fract_x", f"{SITE}cartn_x"} & set(block):
                raise StructureFileError(f"{place}: expected a label or an element for each site.")
            continue  # a block about the publication, or of reflections
        if isinstance(labels, str):
            raise StructureFileError(f"{place}: expected a loop of sites, got {labels!r} alone.")
        tags = dict(block)
        try:
            tags[f"{SITE}type_symbol"] = _symbols(block, labels, symbols)
        except ValueError as error:
            raise StructureFileError(f"{place}: {error}.") from error
        block = CIFBlock(block.name, tags)
        if not block.has_structure():
            raise StructureFileError(f"{place}: expected positions of its {len(labels)} sites")
        yield _structure(block, labels, options, place)
        frame += 1


def _symbols(block: CIFBlock, labels: list[str], symbols: Symbols) -> list[str]:
    """The element of each site: from its type, such as Fe3+, or else from its label.

    Types are elements, so that CA is calcium there; labels may be names.
    """
    types = block.get(f"{SITE}type_symbol")
    found = []
    for i, label in enumerate(labels):
        word = str(types[i] if types is not None else label)
        letters = word.rstrip("0123456789+-.").capitalize()
        if word in (".", "?"):
            raise ValueError(f"the site {label} has no element: its type is {word!r}")
        if types is not None and letters in ISOTOPES:
            found.append("D" if letters == "D" else "H")
        elif types is not None and ATOMIC_NUMBERS.get(letters, 0) > 0:
            found.append(letters)
        else:
            symbol, mass = symbols[word]
            found.append("D" if mass == ISOTOPES["D"] else symbol)
    return found


def _structure(block: CIFBlock, labels: list[str], options: ReadingOptions, place: str) -> Atoms:
    try:
        _check_cell(block)
        sites = _sites(block, labels)
    except ValueError as error:
        raise StructureFileError(f"{place}: {error}.") from error
    disordered = disordered_sites(sites)
    if not disordered:
        tags = {tag: value for tag, value in block.items() if tag != f"{SITE}occupancy"}
        atoms: Atoms = CIFBlock(block.name, tags).get_atoms()
        return atoms
    if options.disorder is None:
        refuse_disorder([site.described for site in disordered], place)
    cell = block.get_cell()
    spacegroup = block.get_spacegroup(True) if cell.rank == 3 else None
    kind, _ = block._get_site_coordinates()
    try:
        chosen, positions = majority(sites, cell, spacegroup, scaled=kind == "scaled")
    except ValueError as error:
        raise StructureFileError(f"{place}: {error}.") from error
    return Atoms(
        ["H" if site.symbol == "D" else site.symbol for site in chosen],
        positions=positions,
        cell=cell,
        pbc=cell.rank == 3,
    )


def _check_cell(block: CIFBlock) -> None:
    parameters = block.get_cellpar()
    if parameters is not None:
        check_cell(parameters)
    elif block._get_site_coordinates()[0] == "scaled":
        raise ValueError("expected a cell (_cell_length_a, ...) for fractional coordinates")


def _sites(block: CIFBlock, labels: list[str]) -> list[Site]:
    count = len(labels)

    def column(name: str, default: str) -> list[str]:
        values = block.get(SITE + name)
        return [str(value) for value in values] if isinstance(values, list) else [default] * count

    _, coordinates = block._get_site_coordinates()
    return [
        Site(label, symbol, _position(label, xyz), _occupancy(label, occupancy), assembly, group)
        for label, symbol, xyz, occupancy, assembly, group in zip(
            map(str, labels),
            column("type_symbol", ""),
            coordinates,
            column("occupancy", "."),
            column("disorder_assembly", "."),
            column("disorder_group", "."),
            strict=True,
        )
    ]


def _position(label: str, words: Iterable[str | float]) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in words)
    except ValueError as error:
        position = " ".join(map(str, words))
        raise ValueError(f"the site {label}: expected a position, got {position!r}") from error


def _occupancy(label: str, text: str) -> float:
    if text in (".", "?"):  # not stated
        return 1.0
    try:
        occupancy = float(text)
    except ValueError:
        occupancy = float("nan")
    if not 0 <= occupancy < float("inf"):
        raise ValueError(f"the site {label}: expected an occupancy, got {text!r}")
    return occupancy
