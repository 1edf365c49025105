"""``--help`` shows what a user may choose, and nothing else."""

import sys
from pathlib import Path

import pytest
import yaml

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


def choices(text: str) -> str:
    """What stands below the line of the choices, on one line."""
    return " ".join(text.partition("Choices, GROUP=CHOICE:")[2].split())


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_training_lists_every_choice_on_one_screen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flag: str
) -> None:
    text = help_of(capsys, monkeypatch, "train", flag)
    assert text.startswith("molnet train [FILE...]")
    for file in CONF.glob("*/*.yaml"):
        assert file.stem in choices(text), file
        assert file.parent.name in choices(text), file
    assert "hydra/" not in choices(text)
    for internal in ("_target_", "_partial_", "run_folder", "override"):
        assert internal not in text
    assert "seed=0            Initial weights and the order of the batches." in text
    assert len(text.splitlines()) <= 40
    assert max(map(len, text.splitlines())) <= 80
    assert not list(tmp_path.iterdir())


def test_a_group_is_explained_with_the_values_that_follow_from_the_choices(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("-m", "dataset=qm9", "model.cutoff=4", "--help=model", "--help=trainer")
    text = help_of(capsys, monkeypatch, "train", *arguments)
    assert "model=default|large|parent|small" in text
    assert "  model.cutoff=4    Radius of the neighbourhood in Å." in text.splitlines()
    assert "scheduler" not in text


def test_every_setting_of_predictions_is_explained(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = help_of(capsys, monkeypatch, "predict", "--help")
    for key in yaml.safe_load((CONF / "predict.yaml").read_text()).keys() - {"defaults", "hydra"}:
        assert f"  {key}=" in text
    assert "Choices" not in text
    assert "device=null       cpu, cuda, mps; null: a GPU if there is one." in text
    assert len(text.splitlines()) <= 40


def test_an_unknown_topic_is_answered(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit):
        help_of(capsys, monkeypatch, "train", "--help=modle")
    assert "no help on modle: did you mean 'model'?" in capsys.readouterr().err


def test_the_users_own_options_are_among_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "own" / "dataset").mkdir(parents=True)
    (tmp_path / "own" / "dataset" / "peptides.yaml").write_text("name: peptides\n")
    text = help_of(capsys, monkeypatch, "train", "--config-dir", "own", "--help")
    assert "organic, peptides, qm9, structures" in choices(text)
