"""The place of predictions: never an input, never half a file."""

from pathlib import Path

import pytest
from filelock import FileLock

from molnet.simulate import predict_files
from molnet.simulate.inputs import default_output
from tests.simulate.files import MakeModel, files, write

pytestmark = pytest.mark.usefixtures("in_an_empty_folder")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["runs/water.xyz"], "water.predicted.extxyz"),
        (["run.1.extxyz.gz"], "run.1.predicted.extxyz"),
        (["POSCAR"], "POSCAR.predicted.extxyz"),
        (["a.xyz", "b.xyz"], "predictions.extxyz"),
    ],
)
def test_default_names(files: list[str], expected: str) -> None:
    assert default_output([Path(name) for name in files], "predicted", "predictions") == Path(
        expected
    )


@pytest.mark.parametrize(
    ("input", "output"),
    [
        ("in.xyz", "in.xyz"),
        ("in.xyz", "./in.xyz"),
        ("in.xyz", "sub/../in.xyz"),
        ("in.xyz", "new/../in.xyz"),
        ("in.xyz", "link.xyz"),
        ("in.xyz", "hard.xyz"),
        ("link.xyz", "in.xyz"),
        ("*.xyz", "in.xyz"),
        (["sub/a.xyz", "in.xyz"], "in.xyz"),
        ("o.extxyz.partial", "o.extxyz"),
        ("o.extxyz*", "o.extxyz"),
        ("in.xyz", "of_link.xyz"),  # its partial file is a link to the input
        ("./sub/a.xyz.partial", "link_to_sub/a.xyz"),
    ],
)
def test_inputs_are_never_overwritten(
    make_model: MakeModel, input: str | list[str], output: str
) -> None:
    before = write("in.xyz").read_text()
    Path("sub").mkdir()
    Path("link.xyz").symlink_to("in.xyz")
    Path("of_link.xyz.partial").symlink_to("in.xyz")
    Path("link_to_sub").symlink_to("sub")
    Path("hard.xyz").hardlink_to("in.xyz")
    copies = [Path(name) for name in ("o.extxyz.partial", "sub/a.xyz", "sub/a.xyz.partial")]
    for copy in copies:
        copy.write_text(before)
    with pytest.raises(ValueError, match="also an input"):
        predict_files(make_model(), input, output)
    assert [path.read_text() for path in (Path("in.xyz"), *copies)] == [before] * 4


def test_a_glob_that_takes_in_the_former_output_is_refused(make_model: MakeModel) -> None:
    write("a.extxyz")
    write("b.extxyz")
    assert predict_files(make_model(), "*.extxyz").output == Path("predictions.extxyz")
    before = Path("predictions.extxyz").read_text()
    with pytest.raises(ValueError, match="also an input"):
        predict_files(make_model(), "*.extxyz")
    assert Path("predictions.extxyz").read_text() == before


@pytest.mark.parametrize("output", ["folder.xyz", "link_to_folder.xyz", "folder.xyz/"])
def test_a_folder_is_no_output_and_that_shows_at_once(make_model: MakeModel, output: str) -> None:
    Path("folder.xyz").mkdir()
    Path("link_to_folder.xyz").symlink_to("folder.xyz")
    with pytest.raises(OSError, match="this is a folder"):
        predict_files("no model is looked for", write("in.xyz"), output)
    assert not list(Path("folder.xyz").iterdir())


def test_two_predictions_do_not_write_to_one_file(make_model: MakeModel) -> None:
    with (
        FileLock(".out.xyz.lock"),
        pytest.raises(ValueError, match=r"another process is writing predictions to out\.xyz"),
    ):
        predict_files(make_model(), write("in.xyz"), "out.xyz")
    Path(".out.xyz.lock").touch()  # of a process that was killed
    assert predict_files(make_model(), "in.xyz", "out.xyz").structures == 7
    assert files() == {"in.xyz", "out.xyz"}


def test_a_name_may_begin_with_a_tilde(make_model: MakeModel) -> None:
    write("~water.xyz")
    assert predict_files(make_model(), "~water.xyz", "~out.xyz").structures == 7
    assert files() == {"~water.xyz", "~out.xyz"}


def test_unknown_output_formats_are_refused_at_once() -> None:
    for name in ("out.pdf", "out", "out.gz"):
        with pytest.raises(ValueError, match=r"\.extxyz, \.xyz, \.csv, \.json"):
            predict_files("no model is looked for", write("in.xyz"), name)


def test_places_that_cannot_be_written_are_named(make_model: MakeModel) -> None:
    write("in.xyz")
    with pytest.raises(OSError, match=r"output=FILE.*in\.xyz/out\.xyz"):
        predict_files("no model is looked for", "in.xyz", "in.xyz/out.xyz")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
@pytest.mark.parametrize("name", ["out.xyz", "out.csv", "out.json", "out.json.gz"])
def test_a_full_disk_ends_with_the_place(make_model: MakeModel, name: str) -> None:
    Path(f"{name}.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match=f"No space left.*{name}.partial"):
        predict_files(make_model(), write("in.xyz"), name)
    assert not Path(name).exists()


def test_folders_of_the_output_are_made(make_model: MakeModel) -> None:
    predict_files(make_model(), write("in.xyz"), "new/folder/out.csv")
    assert Path("new/folder/out.csv").is_file()
