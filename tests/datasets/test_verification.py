"""Stores whose files have changed, or that nobody of sound mind has written, are refused."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from molnet.datasets import verification
from molnet.datasets.manifest import identity_of
from molnet.datasets.store import ArrayStore, StoreError
from molnet.stored import sealed

CUTOFF = 4.0


@pytest.fixture
def folder(mixed_store: ArrayStore) -> Path:
    mixed_store.edges(CUTOFF)
    return mixed_store.path


def use(folder: Path, verify: bool = False) -> None:
    ArrayStore.open(folder, verify).edges(CUTOFF)


def flip(path: Path, byte: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[byte] ^= 1 << bit
    path.write_bytes(data)


def arrays(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.npy"))


def test_one_flipped_bit_in_any_array_is_found(folder: Path) -> None:
    use(folder)
    assert len(arrays(folder)) == 11
    for path in arrays(folder):
        for byte in (0, 9, 100, -1):  # of NumPy's header and of the elements
            flip(path, byte)
            with pytest.raises(StoreError, match=rf"{path.name}.*Delete this folder; it is built"):
                use(folder)
            flip(path, byte)
    use(folder)


@pytest.mark.parametrize("name", ["manifest.json", f"edges-{CUTOFF}/manifest.json"])
@pytest.mark.parametrize(
    ("old", "new"),
    [('"unit": "eV"', '"unit": "eX"'), ('"structures": 5', '"structures": 4'), ("{", "")],
)
def test_an_edited_manifest_is_found(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text()
    if old not in text:
        assert "edges" in name
        assert "unit" in old
        return
    (folder / name).write_text(text.replace(old, new, 1))
    with pytest.raises(StoreError, match=r"damaged: manifest\.json (has changed|is not JSON)"):
        use(folder)


def test_elements_are_compared_once_and_after_a_change(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[int] = []
    original = verification.array_checksum

    def counting(array: np.ndarray) -> str:
        hashed.append(len(array))
        return original(array)

    monkeypatch.setattr(verification, "array_checksum", counting)
    use(folder)
    assert hashed == []
    os.utime(folder / "species.npy")  # as a copy would be, or an edit
    use(folder)
    assert len(hashed) == 7
    use(folder)
    assert len(hashed) == 7
    use(folder, verify=True)
    assert len(hashed) == 7 + 11
    (folder / verification.NOTE).write_text("{")
    use(folder)
    assert len(hashed) == 7 + 11 + 7


def test_a_changed_time_alone_hides_nothing(folder: Path) -> None:
    path = folder / "positions.npy"
    before = path.stat()
    flip(path, -1)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(StoreError, match=r"positions\.npy has changed"):
        use(folder)


def test_a_change_right_after_verification_is_found(folder: Path) -> None:
    path = folder / "positions.npy"
    for _ in range(20):
        path.write_bytes(path.read_bytes())
        use(folder)  # verifies what was written in this very moment
        flip(path, -1)
        with pytest.raises(StoreError, match=r"positions\.npy has changed"):
            use(folder)
        flip(path, -1)


def test_a_folder_that_cannot_be_written_is_verified_each_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "read-only")

    monkeypatch.setattr(verification, "write_whole", refuse)
    os.utime(folder / "species.npy")
    use(folder)
    flip(folder / "species.npy", -1)
    with pytest.raises(StoreError, match=r"species\.npy has changed"):
        use(folder)


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Edit a manifest and give it the right hash, as only malice or a bug does."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(sealed(manifest)))


def put(*keys: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        for key in keys[:-1]:
            manifest = manifest[key]
        manifest[keys[-1]] = value

    return change


HOSTILE = [
    put("structures", value=10**15),
    put("structures", value=2**39),
    put("structures", value=-1),
    put("structures", value=True),
    put("structures", value="5"),
    put("atoms", value=2**39),
    put("atoms", value=None),
    put("arrays", value=[]),
    put("arrays", value={}),
    put("arrays", "../positions", value={}),
    put("arrays", "positions", "shape", value=[2**60, 3]),
    put("arrays", "positions", "dtype", value="|O"),
    put("arrays", "positions", value=None),
    put("arrays", "positions", "sha256", value="0" * 64),
    put("properties", value={}),
    put("properties", value=None),
    put("properties", "energy", "shape", value=[2**50]),
    put("properties", "energy", "shape", value=[1] * 100),
    put("properties", "energy", "per", value="galaxy"),
    put("properties", "energy", "name", value="forces"),
    put("properties", "energy", "unit", value="furlong"),
    put("properties", "energy", "unit", value=None),
    put("properties", "energy", "colour", value="red"),
    put("properties", "../../energy", value={"name": "../../energy", "unit": "eV", "shape": []}),
    put("checksum", value="0" * 64),
    put("elements", value={"Xx": 18}),
    put("elements", value=7),
]


@pytest.mark.parametrize("change", HOSTILE)
def test_a_hostile_manifest_ends_in_one_error(
    folder: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    rewrite(folder, change)
    with pytest.raises(StoreError, match=r"damaged: .*Delete this folder"):
        ArrayStore.open(folder)


@pytest.mark.parametrize(
    "change",
    [
        put("edges", value=2**50),
        put("edges", value=-1),
        put("structures", value=4),
        put("cutoff", value=5.0),
        put("store", value="0" * 64),
        put("format_version", value=99),
        put("arrays", "senders", "dtype", value="<i8"),
        put("arrays", "senders", "dtype", value=[]),
        put("arrays", value=None),
    ],
)
def test_a_hostile_edge_table_ends_in_one_error(
    folder: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    rewrite(folder / f"edges-{CUTOFF}", change)
    with pytest.raises(StoreError, match=r"edge table .* is damaged: .*Delete this folder"):
        use(folder)


def replace(folder: Path, name: str, change: Callable[[np.ndarray], None]) -> None:
    """Change elements and give them the right checksums."""
    path = folder / f"{name}.npy"
    array = np.load(path)
    change(array)
    header = path.read_bytes()[: path.stat().st_size - array.nbytes]
    path.write_bytes(header + array.tobytes())

    def correct(manifest: dict[str, Any]) -> None:
        manifest["arrays"][name]["sha256"] = verification.array_checksum(array)
        manifest["checksum"] = identity_of(manifest["arrays"])

    rewrite(folder, correct)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("species", 0, "the elements"),
        ("species", 200, "the elements"),
        ("offsets", -1, "expected numbers that rise from 0 to 18"),
        ("offsets", 2**63 - 1, "expected numbers that rise from 0 to 18"),
        ("offsets", -(2**63), "expected numbers that rise from 0 to 18"),
        ("positions", np.nan, "expected finite numbers"),
        ("label-energy", np.inf, "expected finite numbers"),
    ],
)
def test_values_out_of_range_are_refused(
    folder: Path, name: str, value: float, message: str
) -> None:
    replace(folder, name, lambda array: array.__setitem__(1, value))
    with pytest.raises(StoreError, match=rf"{name}\.npy: {message}"):
        ArrayStore.open(folder)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("senders", 250, "atoms that their structures do not have"),
        ("receivers", 250, "atoms that their structures do not have"),
        ("receivers", 3, "receivers that ascend"),
        ("offsets", 2**40, "rise from 0"),
    ],
)
def test_edges_out_of_range_are_refused(
    folder: Path, name: str, value: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for edges in (1, 10**6):  # structures looked at one by one, and together
        monkeypatch.setattr("molnet.datasets.edges.EDGES", edges)
        replace(folder / f"edges-{CUTOFF}", name, lambda array: array.__setitem__(1, value))
        with pytest.raises(StoreError, match=message):
            use(folder)


def test_a_link_in_place_of_an_array_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder / "species.npy", tmp_path / "elsewhere.npy")
    (folder / "species.npy").symlink_to(tmp_path / "elsewhere.npy")
    with pytest.raises(StoreError, match=r"species\.npy is no regular file"):
        ArrayStore.open(folder)


def test_a_table_of_another_store_is_refused(
    folder: Path, tmp_path: Path, mixed_store: ArrayStore
) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    replace(other, "positions", lambda array: array.__setitem__(0, 9.0))
    with pytest.raises(StoreError, match=r"describes edges within 4\.0 Å of the store"):
        use(other)
