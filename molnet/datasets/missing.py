"""The answer to files of which some setting is missing: what was found, and what to give."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from molnet.datasets.base import MissingSettingsError
from molnet.datasets.guesses import candidates, remark_on_size, usual_units
from molnet.datasets.survey import Key, Survey, survey
from molnet.graph.frames import ReadingOptions, count_frames
from molnet.properties import PROPERTIES, Property

TEXTS_SHOWN = 3
KEYS_SHOWN = 30


def missing_settings(
    files: Sequence[Path],
    reading: ReadingOptions,
    wanted: Mapping[str, Property],
    labels: Mapping[str, tuple[str, str | None]],
    declared_units: Mapping[str, str],
) -> MissingSettingsError:
    """One error for everything that has to be said about the labels of structure files.

    Args:
        files: that hold the structures.
        reading: what the user has said about the files.
        wanted: the properties to learn, by the name of their label.
        labels: key and unit that are given, by the name of the label.
        declared_units: those that the files declare, by key.

    Raises:
        StructureFileError: a file cannot be read.
    """
    found = survey(files, reading)
    chosen: dict[str, list[Key]] = {}
    settings: dict[str, str] = {}
    missing = []
    for name, quantity in wanted.items():
        key, unit = labels.get(name, (name, None))
        fitting = candidates(quantity, found)
        if not fitting and name == "stress" and key not in found.keys:
            fitting = candidates(quantity, found, "virial")
            name, quantity = ("virial", PROPERTIES["energy"]) if fitting else (name, quantity)
        if key in found.keys:
            chosen[name] = [found.keys[key]]
        elif fitting:
            chosen[name] = fitting
            missing.append(_of_key(name, key, fitting))
        else:
            chosen[name] = []
            missing.append(
                f"{name}: there is no {key!r}, and no key with a similar name and shape; name it, "
                "or choose another target=..."
            )
        right = chosen[name][0].name if chosen[name] else "KEY"
        unit = unit or declared_units.get(right)
        if unit is None:
            size = remark_on_size(chosen[name][0], quantity) if chosen[name] else ""
            missing.append(f"{name}: its unit" + (f"; {size}" if size else ""))
        if name not in labels:
            settings[f"+dataset.labels.{name}"] = f"{{key: {right}, unit: {unit or 'UNIT'}}}"
            continue
        if right != key:
            settings[f"dataset.labels.{name}.key"] = right
        if unit is None:
            settings[f"dataset.labels.{name}.unit"] = "UNIT"
    units = {
        name: usual_units(PROPERTIES["energy"] if name == "virial" else wanted[name])
        for name in chosen
        if "UNIT" in "".join(value for key, value in settings.items() if f".{name}" in key)
    }
    guessed = {key[0].name: name for name, key in chosen.items() if key}
    parts = [
        f"{_names(files)}: {_extent(files, reading, found)}",
        _table(found, guessed),
        "Missing:\n" + "\n".join(f"  {line}" for line in missing),
    ]
    if units:
        width = max(map(len, units))
        parts.append(
            "Units, e.g.:\n"
            + "\n".join(f"  {name:{width}}  {', '.join(units[name])}" for name in units)
        )
    return MissingSettingsError("\n\n".join(parts), settings)


def _of_key(name: str, key: str, fitting: Sequence[Key]) -> str:
    first, *others = (repr(other.name) for other in fitting[:4])
    choice = f" (or {', '.join(others)})" if others else ""
    return f"{name}: there is no {key!r}; by name and shape it is {first}{choice}"


def _names(files: Sequence[Path]) -> str:
    return str(files[0]) if len(files) == 1 else f"{len(files)} files from {files[0]}"


def _extent(files: Sequence[Path], reading: ReadingOptions, found: Survey) -> str:
    counts = [count_frames(file, reading) for file in files]
    total = None if None in counts else sum(count or 0 for count in counts)
    some = f"the first {found.frames:,} of " if total and total > found.frames else ""
    sizes = {found.smallest, found.largest}
    atoms = " to ".join(f"{size:,}" for size in sorted(sizes))
    return (
        f"{some}{total or found.frames:,} frames of {atoms} atoms ({', '.join(found.symbols)}) with"
    )


def _table(found: Survey, guessed: Mapping[str, str]) -> str:
    keys = sorted(found.keys.values(), key=lambda key: (key.name not in guessed, -key.frames))
    rows = [("key", "where", "frames", "shape", "values", "")]
    for key in keys[:KEYS_SHOWN]:
        looks = f"{guessed[key.name]}?" if key.name in guessed else ""
        rows.append((key.name, key.place, f"{key.frames:,}", _shapes(key), _values(key), looks))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  "
        + "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    if len(keys) > KEYS_SHOWN:
        lines.append(f"  and {len(keys) - KEYS_SHOWN} more keys")
    return "\n".join(lines) if keys else "  no keys at all: no labels"


def _shapes(key: Key) -> str:
    if not key.shapes:
        return "text"
    if len(key.shapes) > 1:
        return "varies"
    (shape,) = key.shapes
    return " × ".join(map(str, shape)) or "1"


def _values(key: Key) -> str:
    if key.numbers == 0:
        texts = sorted(key.texts)
        shown = ", ".join(text[:20] for text in texts[:TEXTS_SHOWN])
        return f"{shown}, ..." if len(texts) > TEXTS_SHOWN else shown
    if key.low == key.high == 0:
        return "all zero: placeholders?"
    digits = 8 if key.shapes == {()} else 4
    text = f"{key.low:.{digits}g} to {key.high:.{digits}g}"
    return text if key.shapes == {()} else f"{text}, RMS {key.rms:.3g}"
