"""``--help`` shows what a user may choose, and nothing else."""

import sys
from pathlib import Path

import pytest

from molnet.bundled import CONF
from molnet.commands.command_line import run_command


def help_of(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, *arguments: str
) -> str:
    monkeypatch.setattr(sys, "argv", [f"{name}.py"])

    def task(config: object) -> None:
        raise AssertionError("the script has run")

    run_command(name, task, [*arguments])
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")


def choices(text: str) -> dict[str, list[str]]:
    """The groups that the text lists, with their options."""
    lines = text.split("\n\n")[2].splitlines()
    return {group: rest.split(", ") for group, rest in (line.split(None, 1) for line in lines)}


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_training_lists_every_choice(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flag: str
) -> None:
    text = help_of(capsys, monkeypatch, "train", flag)
    assert text.startswith("python scripts/train.py [dataset=...]")
    found = choices(text)
    for folder in CONF.iterdir():
        options = sorted(path.stem for path in folder.glob("*.yaml"))
        assert found.get(folder.name, options) == options
        assert (folder.name in found) == (len(options) > 1)
    assert found["dataset"] == ["organic", "qm9", "structures"]
    assert "for_" not in text
    assert "_target_" not in text
    assert "_partial_" not in text
    assert "hydra" not in text
    assert "run_folder:" not in text
    assert "    cutoff: 5.0" in text
    assert not list(tmp_path.iterdir())


def test_it_shows_the_settings_that_follow_from_the_choices(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = help_of(capsys, monkeypatch, "train", "-m", "dataset=qm9", "model.cutoff=4", "--help")
    for line in ("    name: qm9", "      u0:", "    cutoff: 4", "    max_time: 30m"):
        assert line in text.splitlines()


def test_other_scripts_list_their_own_choices_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = help_of(capsys, monkeypatch, "evaluate", "--help")
    assert choices(text) == {"dataset": ["organic", "qm9", "structures"]}
    text = help_of(capsys, monkeypatch, "predict", "--help")
    assert "Choices" not in text
    assert "  batch_size: 64" in text.splitlines()


def test_the_users_own_options_are_among_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "own" / "dataset").mkdir(parents=True)
    (tmp_path / "own" / "dataset" / "peptides.yaml").write_text("name: peptides\n")
    text = help_of(capsys, monkeypatch, "train", "--config-dir", "own", "--help")
    assert choices(text)["dataset"] == ["organic", "peptides", "qm9", "structures"]
