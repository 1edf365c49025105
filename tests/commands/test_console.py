"""The first word after ``molnet``."""

from pathlib import Path

import pytest

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
