"""QM9 from each of its sources, against the published numbers."""

import bz2
import csv
import hashlib
import shutil
import socket
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from molnet.datasets import qm9
from molnet.datasets.download import DownloadError
from molnet.datasets.qm9 import MOLECULES, QM9Error, open_qm9
from molnet.datasets.store import ArrayStore
from molnet.units import conversion_factor

HARTREE = conversion_factor("Hartree", "eV")

# Methane and hydrogen cyanide as published; the exponents are Mathematica's.
METHANE = """5
gdb 1\t157.7118\t157.70997\t157.70699\t0.\t13.21\t-0.3877\t0.1171\t0.5048\t35.3641\t0.044749\t\
-40.47893\t-40.476062\t-40.475117\t-40.498597\t6.469\t
C\t-0.0126981359\t 1.0858041578\t 0.0080009958\t-0.535689
H\t 2.150416*^-3\t-6.0313176*^-3\t 1.9761204*^-3\t 0.133921
H\t 1.0117308433\t 1.4637511618\t 2.765748*^-4\t 0.133922
H\t-0.540815069\t 1.4475266138\t-0.8766437152\t 0.133923
H\t-0.5238136345\t 1.4379326443\t 0.9063972942\t 0.133923
1341.307\t1341.3284\t1341.365\t1562.6731\t1562.7453\t3038.3205\t3151.6034\t3151.6788\t3151.7078
C\tC\t
InChI=1S/CH4/h1H4\tInChI=1S/CH4/h1H4
"""
HYDROGEN_CYANIDE = """3
gdb 5\t0.\t44.593883\t44.593883\t2.8937\t12.99\t-0.3604\t0.0191\t0.3796\t48.7476\t0.016601\t\
-93.411888\t-93.40937\t-93.408425\t-93.431246\t6.278\t
C\t-0.0133239314\t 1.1324657151\t 0.0082758861\t-0.049656
N\t 0.0023107217\t-0.0191585871\t 0.0019287305\t-0.188473
H\t-0.0278026991\t 2.1989492963\t 0.0141537903\t 0.238128
799.0101\t799.0101\t2198.4393\t3490.3686
C#N\tC#N\t
InChI=1S/CHN/c1-2/h1H\tInChI=1S/CHN/c1-2/h1H
"""
LEFT_OUT = METHANE.replace("gdb 1\t", "gdb 58\t")
UNCHARACTERIZED = """
List of molecules for which the geometry leads to different SMILES
====================
#   Index    GDB17 SMILES    SMILES for B3LYP XYZ
====================
      58     NC(=N)C#N       NC(=N)C#N
      61     NC(=N)C=O       NC(=N)C=O
====================
"""


@pytest.fixture
def xyz_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "dsgdb9nsd.xyz"
    folder.mkdir()
    for index, text in ((1, METHANE), (5, HYDROGEN_CYANIDE), (58, LEFT_OUT)):
        (folder / f"dsgdb9nsd_{index:06}.xyz").write_text(text)
    (tmp_path / "uncharacterized.txt").write_text(UNCHARACTERIZED)
    return folder


@pytest.fixture
def archive(xyz_folder: Path) -> Path:
    path = xyz_folder.parent / "dsgdb9nsd.xyz.tar.bz2"
    with tarfile.open(path, "w:bz2") as tar:
        for file in sorted(xyz_folder.iterdir()):
            tar.add(file, file.name)
    return path


@pytest.fixture(scope="session")
def csv_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 300 molecules of the installed package."""
    package = qm9._package_folder()
    if package is None:
        pytest.skip('needs qm9pack: pip install -e ".[qm9]"')
    folder = tmp_path_factory.mktemp("qm9pack")
    for name in ("qm9_part1.csv", "qm9_polarizability.csv"):
        with open(package / name) as file:
            (folder / name).write_text("".join(next(file) for _ in range(301)))
    return folder


@pytest.fixture(scope="session")
def store(csv_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ArrayStore:
    return open_qm9(csv_folder, tmp_path_factory.mktemp("cache"))


def atoms_of(store: ArrayStore, i: int) -> slice:
    return slice(store.offsets[i], store.offsets[i + 1])


def check_methane_and_hydrogen_cyanide(store: ArrayStore, first: int, second: int) -> None:
    labels = store.labels
    assert store.species[atoms_of(store, first)].tolist() == [6, 1, 1, 1, 1]
    assert store.positions[atoms_of(store, first)][1, 0] == 0.002150416
    assert labels["u0"][first] == pytest.approx(-40.47893 * HARTREE, rel=1e-12)
    assert labels["u0"][first] == pytest.approx(-1101.488, abs=1e-3)  # eV
    assert labels["g"][second] == pytest.approx(-93.431246 * HARTREE, rel=1e-12)
    assert labels["zpve"][second] == pytest.approx(0.4517, abs=1e-4)  # eV
    assert labels["homo"][first] == pytest.approx(-10.550, abs=1e-3)  # eV
    assert labels["gap"][first] == pytest.approx(labels["lumo"][first] - labels["homo"][first])
    assert labels["mu"][first] == 0.0
    assert labels["mu"][second] == pytest.approx(2.8937 * 0.2081943, abs=1e-6)  # e Å
    assert labels["alpha"][first] == pytest.approx(13.21 * 0.529177**3, rel=1e-5)  # Å³
    assert labels["r2"][first] == pytest.approx(35.3641 * 0.529177**2, rel=1e-5)  # Å²
    assert labels["cv"][first] == pytest.approx(6.469 * 4.184 / 96485.33, rel=1e-6)  # eV/K
    np.testing.assert_allclose(
        labels["charges"][atoms_of(store, second)], [-0.049656, -0.188473, 0.238128]
    )


def test_the_package_gives_the_published_numbers(store: ArrayStore) -> None:
    assert len(store) == 300
    assert set(store.labels) == set(qm9.UNITS) | {"polarizability"}
    check_methane_and_hydrogen_cyanide(store, 0, 4)


def test_uncharacterized_molecules_are_not_in_the_package(csv_folder: Path) -> None:
    with open(csv_folder / "qm9_part1.csv") as file:
        indices = {int(row["Index"]) for row in csv.DictReader(file)}
    assert indices == set(range(1, 310)) - {58, 61, 80, 185, 186, 245, 267, 280, 286}


@pytest.mark.parametrize("kind", ["archive", "xyz_folder"])
def test_the_original_files_give_the_published_numbers(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    store = open_qm9(request.getfixturevalue(kind), tmp_path / "cache")
    assert len(store) == 2
    assert set(store.labels) == set(qm9.UNITS)
    check_methane_and_hydrogen_cyanide(store, 0, 1)


def test_archive_and_package_agree(store: ArrayStore, archive: Path, tmp_path: Path) -> None:
    original = open_qm9(archive, tmp_path / "cache")
    for name in qm9.PUBLISHED:
        np.testing.assert_array_equal(original.labels[name], store.labels[name][[0, 4]])
    np.testing.assert_array_equal(original.positions[:5], store.positions[:5])


def test_a_third_of_the_trace_is_the_isotropic_polarizability(store: ArrayStore) -> None:
    tensors = store.labels["polarizability"]
    trace = np.trace(tensors, axis1=1, axis2=2)
    # alpha was published with two decimals in Bohr³
    np.testing.assert_allclose(trace / 3, store.labels["alpha"], atol=0.01 * 0.529177**3)
    np.testing.assert_allclose(tensors, tensors.transpose(0, 2, 1), atol=1e-12)


def test_the_store_is_built_once(store: ArrayStore, csv_folder: Path) -> None:
    before = (store.path / "manifest.json").stat().st_mtime_ns
    again = open_qm9(str(csv_folder), store.path.parent)
    assert again.path == store.path
    assert (store.path / "manifest.json").stat().st_mtime_ns == before
    assert store.manifest["source"]["units"]["u0"] == "Hartree"


def test_other_contents_make_another_store(archive: Path, tmp_path: Path) -> None:
    one = open_qm9(archive, tmp_path / "cache")
    (archive.parent / "uncharacterized.txt").write_text("5 C#N\n58 NC(=N)C#N\n")
    other = open_qm9(archive, tmp_path / "cache")
    assert (len(one), len(other)) == (2, 1)


def test_download_reads_the_published_archive(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ARCHIVE", "UNCHARACTERIZED"):
        file = archive.parent / getattr(qm9, name).name
        content = file.read_bytes()
        local = replace(
            getattr(qm9, name),
            urls=(file.as_uri(),),
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )
        (tmp_path / "cache" / "downloads").mkdir(parents=True, exist_ok=True)
        (tmp_path / "cache" / "downloads" / local.name).write_bytes(content)
        monkeypatch.setattr(qm9, name, local)
    with pytest.raises(QM9Error, match=r"expected 130,831 molecules of QM9, found 2 in"):
        open_qm9("download", tmp_path / "cache")
    monkeypatch.setattr(qm9, "MOLECULES", 2)
    assert len(open_qm9("download", tmp_path / "cache")) == 2


def test_without_package_and_network_the_error_names_both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    monkeypatch.setattr(qm9, "_package_folder", lambda: None)
    monkeypatch.setattr(qm9, "UNCHARACTERIZED", replace(qm9.UNCHARACTERIZED, urls=(url,)))
    with pytest.raises(DownloadError) as caught:
        open_qm9("auto", tmp_path)
    assert 'pip install -e ".[qm9]"' in str(caught.value)
    assert "dataset.source=PATH" in str(caught.value)
    with pytest.raises(QM9Error, match=r"pip install -e"):
        open_qm9("package", tmp_path)


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(QM9Error, match=r"auto, package, download.*'qm9\.zip': nothing there"):
        open_qm9("qm9.zip", tmp_path)
    with pytest.raises(QM9Error, match="a folder without such files"):
        open_qm9(tmp_path, tmp_path)


def test_the_list_of_what_to_leave_out_is_needed(archive: Path, tmp_path: Path) -> None:
    listed = archive.parent / "uncharacterized.txt"
    listed.write_text("nothing that looks like an index\n")
    with pytest.raises(QM9Error, match="begin with a molecule's index"):
        open_qm9(archive, tmp_path / "cache")
    listed.unlink()
    with pytest.raises(QM9Error, match=r"Fetch it from https://"):
        open_qm9(archive, tmp_path / "cache")


def test_a_cut_archive_leaves_no_store(archive: Path, tmp_path: Path) -> None:
    tar = bz2.decompress(archive.read_bytes())
    on_a_boundary = bz2.compress(tar[: 2 * 1024 + 512])  # after two molecules, in a whole stream
    for data in (archive.read_bytes()[:-100], on_a_boundary):
        archive.write_bytes(data)
        with pytest.raises(QM9Error, match=r"damaged or was cut short.*Copy or download it again"):
            open_qm9(archive, tmp_path / "cache")
        assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("end", ["0.133923", "1341.307", "InChI"])
def test_a_cut_molecule_is_refused(xyz_folder: Path, tmp_path: Path, end: str) -> None:
    file = xyz_folder / "dsgdb9nsd_000001.xyz"
    text = file.read_text()
    file.write_text(text[: text.rindex(end) + 3])
    if end == "InChI":  # nothing after it is read
        assert len(open_qm9(xyz_folder, tmp_path / "cache")) == 2
        return
    with pytest.raises(QM9Error, match=r"000001\.xyz cannot be read: expected 10 lines, got [78]"):
        open_qm9(xyz_folder, tmp_path / "cache")


def test_another_list_of_what_to_leave_out_is_said(
    archive: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_qm9(archive, tmp_path / "cache")
    assert "2 molecules are left out instead of 3,054" in caplog.text
    (archive.parent / "uncharacterized.txt").write_text("5 C#N\n58")
    with pytest.raises(QM9Error, match=r"uncharacterized\.txt was cut short"):
        open_qm9(archive, tmp_path / "cache")


def test_csv_files_that_were_cut_between_lines_or_in_a_number_are_found(
    csv_folder: Path, tmp_path: Path
) -> None:
    for name in ("qm9_part1.csv", "qm9_polarizability.csv"):
        for cut in ("line", "number"):
            folder = tmp_path / f"{name}-{cut}"
            shutil.copytree(csv_folder, folder)
            text = (folder / name).read_text()
            text = text[: text.rindex("\n", 0, -1) + 1] if cut == "line" else text[:-2]
            (folder / name).write_text(text)
            with pytest.raises(QM9Error, match=r"was cut short|has no row in|no more rows"):
                open_qm9(folder, tmp_path / "cache")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("-40.47893\t", "", "expected 17 entries in line 2, got 16"),
        ("C\t-0.0126981359", "C\tabc", "abc"),
        ("C\t-0.0126981359", "Q\t-0.0126981359", "'Q' is not an element"),
        ("5\n", "9\n", "is not an element"),
        ("5\n", "14\n", "is not an element"),
        ("\t-0.535689", "", "inhomogeneous"),
    ],
)
def test_a_damaged_molecule_is_named(
    xyz_folder: Path, tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    file = xyz_folder / "dsgdb9nsd_000001.xyz"
    file.write_text(METHANE.replace(old, new, 1))
    with pytest.raises(QM9Error, match=rf"000001\.xyz cannot be read.*({complaint})"):
        open_qm9(xyz_folder, tmp_path / "cache")


def test_a_damaged_csv_file_is_named_with_its_line(csv_folder: Path, tmp_path: Path) -> None:
    for file in csv_folder.iterdir():
        (tmp_path / file.name).write_text(file.read_text())
    part = tmp_path / "qm9_part1.csv"
    text = part.read_text()

    part.write_text(text.replace(",13.21,", ",thirteen,", 1))
    with pytest.raises(QM9Error, match=r"qm9_part1\.csv, line 2: dsgdb9nsd_000001\.xyz.*thirteen"):
        open_qm9(tmp_path, tmp_path / "cache")
    part.write_text(text[:-500])
    with pytest.raises(QM9Error, match=r"line 301: expected 25 values, got"):
        open_qm9(tmp_path, tmp_path / "cache")
    part.write_text(text.replace("Dipole_debye", "Dipole", 1))
    with pytest.raises(QM9Error, match=r"expected the columns \['Dipole_debye'\]"):
        open_qm9(tmp_path, tmp_path / "cache")
    part.write_text(text)
    tensors = tmp_path / "qm9_polarizability.csv"
    tensors.write_text("".join(tensors.read_text().splitlines(keepends=True)[:200]))
    with pytest.raises(QM9Error, match="no more rows"):
        open_qm9(tmp_path, tmp_path / "cache")
    tensors.unlink()
    with pytest.raises(QM9Error, match="missing"):
        open_qm9(tmp_path, tmp_path / "cache")


@pytest.mark.slow
def test_the_whole_package(tmp_path: Path) -> None:
    if qm9._package_folder() is None:
        pytest.skip('needs qm9pack: pip install -e ".[qm9]"')
    store = open_qm9("package", tmp_path)
    assert len(store) == MOLECULES == 133_885 - 3_054
    assert store.elements == {"H": 1208486, "C": 831925, "N": 132498, "O": 183265, "F": 3036}
    assert np.diff(store.offsets).max() == 29
    neutral = np.add.reduceat(store.labels["charges"], store.offsets[:-1])
    np.testing.assert_allclose(neutral, 0.0, atol=1e-4)
