"""Elements from the names of atoms in files, without a guess where two elements are possible."""

import re
from dataclasses import dataclass, field

from molnet.graph.elements import ATOMIC_NUMBERS, SYMBOLS
from molnet.graph.reading.options import ReadingOptions

ISOTOPES = {"D": 2.01410177812, "T": 3.01604928199}
"""Masses (amu) of deuterium and tritium, which are hydrogen."""

AMBIGUOUS = frozenset(
    {"CA", "CD", "CE", "CF", "CM", "CN", "CO", "CS", "HE", "HF", "HG", "HO", "HS"}
    | {"NA", "NB", "ND", "NE", "NH", "NO", "NP", "OG", "OS", "PA", "PB", "SG"}
)
"""Names in capitals with two readings: some programs mean the element, force fields and protein
files an atom of the first letter. CA is calcium, or the alpha carbon."""

LABELLED = frozenset("HCNOPS")
"""Elements that force fields label with letters, such as CB, OXT or HW."""

RESIDUES = frozenset(
    {"ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE", "LEU", "LYS", "MET"}
    | {"PHE", "PRO", "SER", "THR", "TRP", "TYR", "VAL", "HOH", "WAT", "SOL", "TIP3", "SPC"}
)
"""Residues in which the first letter of an atom's name is its element."""

_LABEL = re.compile(r"([A-Za-z]{1,3})(?:[\d_+\-'*.()][\w+\-'*.()]*)?", re.ASCII)


class UnknownSymbolError(ValueError):
    """A word is not an element, or may be one of two elements."""


@dataclass
class Symbols:
    """The elements of the words that name atoms in a file. Results are cached.

    Attributes:
        options: elements that the user gave take precedence.
        known: the cache: symbol of each word and, for an isotope, mass.
    """

    options: ReadingOptions
    known: dict[str, tuple[str, float | None]] = field(default_factory=dict)

    def __getitem__(self, word: str) -> tuple[str, float | None]:
        """Symbol and, where it is not the element's own, mass of an atom.

        Raises:
            UnknownSymbolError: the word is no element, or may be one of two.
        """
        if word not in self.known:
            given = self.options.element_of(word)
            self.known[word] = (given, None) if given else symbol_of(word)
        return self.known[word]

    def in_residue(self, word: str, residue: str) -> tuple[str, float | None]:
        """The same for an atom of a known residue: proteins and water contain no metals."""
        letters = word.lstrip("0123456789")
        if residue.upper() in RESIDUES and letters[:1].upper() in LABELLED:
            return self[letters[0].upper()] if self.options.element_of(word) is None else self[word]
        return self[word]


def symbol_of(word: str) -> tuple[str, float | None]:
    """The element that a word in a file stands for, and the mass of D and T.

    Symbols in any case, atomic numbers, and symbols with a label behind them (``O1``, ``C_a``,
    ``Fe2+``, ``CB``) are understood.

    >>> symbol_of("O1"), symbol_of("8"), symbol_of("CL")
    (('O', None), ('O', None), ('Cl', None))

    Raises:
        UnknownSymbolError: the word is no element, or may be one of two.
    """
    if word.isascii() and word.isdecimal():
        if 1 <= int(word) < len(SYMBOLS):
            return SYMBOLS[int(word)], None
        raise UnknownSymbolError(
            f"{word} is not the atomic number of an element (1 to {len(SYMBOLS) - 1})"
        )
    if ATOMIC_NUMBERS.get(word, 0) > 0:
        return word, None
    match = _LABEL.fullmatch(word)
    letters = match[1] if match else ""
    if letters.upper() in ISOTOPES:
        return "H", ISOTOPES[letters.upper()]
    for symbol in (letters, letters.capitalize()):
        if ATOMIC_NUMBERS.get(symbol, 0) > 0:
            if symbol != letters and symbol.upper() in AMBIGUOUS:
                raise _ambiguous(word, symbol)
            return symbol, None
    if letters.isupper() and letters[0] in LABELLED:
        if letters[:2].capitalize() in ATOMIC_NUMBERS:
            raise _ambiguous(word, letters[:2])
        return letters[0], None
    raise UnknownSymbolError(
        f"{word!r} is no element. Correct it, or name its element with elements={{{word}:C}}"
    )


def _ambiguous(word: str, two: str) -> UnknownSymbolError:
    whole, first = two.capitalize(), two[0].upper()
    return UnknownSymbolError(
        f"{word!r} may be {whole}, or an atom of {first} with a label. Write {whole!r} or "
        f"{first!r} instead, or name the element with elements={{{word}:{first}}}"
    )
