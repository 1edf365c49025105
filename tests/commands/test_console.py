"""The first word after ``molnet``."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import ase.io
import pytest
from ase.build import molecule

from molnet.commands.console import main


@pytest.mark.parametrize(
    ("word", "hint"),
    [("predit", "did you mean 'predict'?"), ("my file.xyz", "molnet predict 'my file.xyz'")],
)
def test_an_unknown_command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    word: str,
    hint: str,
) -> None:
    (tmp_path / "my file.xyz").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main([word])
    assert end.value.code == 1
    assert hint in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="needs pipes of Unix")
@pytest.mark.parametrize("arguments", [["--help"], ["vibrations", "methanol.xyz", "fmax=null"]])
def test_a_reader_who_has_read_enough_is_no_error(tmp_path: Path, arguments: list[str]) -> None:
    ase.io.write(tmp_path / "methanol.xyz", molecule("CH3OH"))
    process = subprocess.Popen(
        [sys.executable, "-m", "molnet", *arguments],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()  # as `| head -0` does
    assert process.stderr.read() == ""
    assert process.wait(300) == 128 + signal.SIGPIPE
