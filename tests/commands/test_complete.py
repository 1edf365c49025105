"""The Tab key in a shell."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from molnet.bundled import CONF
from molnet.commands.complete import VALUES, candidates
from molnet.commands.console import COMMANDS, overview
from molnet.graph.reading.options import DISORDER
from molnet.models.settings import CHOICES
from molnet.simulate.coordinates import CellMotion
from molnet.simulate.integrators import Ensemble
from molnet.training.losses import FUNCTIONS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with files, the folder of a run, and a program ``molnet``."""
    for name in ("water.xyz", "water box.xyz", "runs/first/config.yaml", ".hidden"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    program = tmp_path / "bin" / "molnet"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m molnet "$@"\n')
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


def completed(*words: str) -> set[str]:
    return set(candidates(["molnet", *words], list(COMMANDS)))


def test_commands() -> None:
    assert completed("") == {*COMMANDS, "--help", "--version"}
    assert completed("pre") == {"predict"}
    assert completed("completion", "") == {"bash", "zsh", "fish"}
    assert completed("nonsense", "") == set()


def test_files_settings_and_flags(folder: Path) -> None:
    assert {"water.xyz", "water box.xyz", "runs/", "output=", "organic"} <= completed("predict", "")
    assert completed("predict", "w") == {"water.xyz", "water box.xyz"}
    assert completed("predict", ".h") == {".hidden"}
    assert completed("predict", "runs/") == {"runs/first/"}
    assert completed("predict", "ou") == {"output="}
    assert completed("predict", "--") == {"--help", "--config-dir", "--multirun"}
    assert completed("train", "hydra") == {"hydra.run.dir=", "hydra/sweeper="}
    assert not {"run_folder=", "hydra=", "defaults="} & completed("train", "")


def test_settings_of_groups() -> None:
    assert completed("train", "target") == {"target=", "target."}
    assert {"model.cutoff=", "model.channels="} <= completed("train", "model.")
    assert "dataset.source=" in completed("train", "dataset=qm9", "dataset.")
    assert "dataset.source=" not in completed("train", "dataset=structures", "dataset.")
    assert "dataset.source=" not in completed("train", "mine.xyz", "dataset.")
    assert completed("train", "dataset.labels.en") == {"dataset.labels.energy."}
    assert completed("train", "dataset.labels.energy.") == {
        "dataset.labels.energy.key=",
        "dataset.labels.energy.unit=",
    }
    assert completed("train", "--help", "mo") == {"model"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["predict", "model="], {"model=organic", "model=qm9", "model=runs/", "model=bin/"}),
        (["predict", "model=runs/f"], {"model=runs/first/"}),
        (["predict", "input=[a.xyz,wat"], {"input=[a.xyz,water.xyz", "input=[a.xyz,water box.xyz"}),
        (["md", "ensemble=n"], {"ensemble=nve", "ensemble=npt"}),
        (["predict", "dtype="], {"dtype=float32", "dtype=float64"}),
        (["evaluate", "runs/first", "split=t"], {"split=train", "split=test"}),
        (["train", "dataset=s"], {"dataset=structures"}),
        (["train", "model.parity="], {"model.parity=true", "model.parity=false"}),
        (["train", "model.channels="], set()),
        (["train", "dataset.path=water."], {"dataset.path=water.xyz"}),
        (["train", "resume="], {"resume=runs/", "resume=bin/"}),
        (["train", "target=no"], set()),
    ],
)
def test_values(folder: Path, words: list[str], expected: set[str]) -> None:
    assert completed(*words) == expected


GROUPS = [path.name for path in CONF.iterdir() if path.is_dir() and path.name != "hydra"]


@pytest.mark.parametrize("group", [*GROUPS, "hydra/sweeper"])
def test_every_choice(group: str) -> None:
    choices = {f"{group}={file.stem}" for file in (CONF / group).glob("*.yaml")}
    assert completed("train", f"{group}=") == choices


def test_the_users_own_choices(folder: Path) -> None:
    (folder / "own" / "target").mkdir(parents=True)
    (folder / "own" / "target" / "shielding.yaml").write_text("heads: {shielding: {per: atom}}\n")
    assert completed("train", "--config-dir", "o") == {"own/"}
    for flag in (["--config-dir", "own"], ["--config-dir=own"]):
        assert completed("train", *flag, "target=sh") == {"target=shielding"}
    own = [*flag, "target=shielding", "target.heads.shielding."]
    assert completed("train", *own) == {"target.heads.shielding.per="}


def test_listed_values_are_those_that_are_accepted() -> None:
    accepted = {
        **CHOICES,
        "cell": get_args(CellMotion),
        "disorder": DISORDER,
        "ensemble": get_args(Ensemble),
        "function": FUNCTIONS,
    }
    for key, words in accepted.items():
        assert set(VALUES[key]) == set(words)
    for name in ("predict", "md", "evaluate"):
        text = (CONF / f"{name}.yaml").read_text()
        for key, values in VALUES.items():
            if f"\n{key}:" in text:
                assert all(value in text for value in values)


def test_the_command_is_named_where_one_looks() -> None:
    assert "source <(molnet completion bash)" in overview()
    assert "source <(molnet completion bash)" in (ROOT / "README.md").read_text()


def shell(name: str, program: str) -> list[str]:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    run = subprocess.run([name, "-c", program], capture_output=True, text=True, check=True)
    assert run.stderr == ""
    return run.stdout.splitlines()


def in_bash(line: str, words: list[str]) -> list[str]:
    """What bash puts in the place of the last of the words into which it cuts a line."""
    return shell(
        "bash",
        f"source <(molnet completion bash); COMP_LINE={shlex.quote(line)}; "
        f"COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=({shlex.join(words)}); "
        f"COMP_CWORD={len(words) - 1}; _molnet molnet; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
    )


def test_bash(folder: Path) -> None:
    assert in_bash("molnet tr", ["molnet", "tr"]) == ["train "]
    line, words = "molnet train dataset=str", ["molnet", "train", "dataset", "=", "str"]
    assert in_bash(line, words) == ["structures "]
    assert in_bash("molnet predict mo", ["molnet", "predict", "mo"]) == ["model="]
    assert in_bash("molnet predict ru", ["molnet", "predict", "ru"]) == ["runs/"]
    line, words = "molnet predict model=", ["molnet", "predict", "model", "="]
    assert in_bash(line, words) == ["bin/", "organic ", "qm9 ", "runs/"]
    for begun in ("wa", "water\\ b", "'water b", '"water b'):
        assert "water\\ box.xyz " in in_bash(
            f"molnet predict {begun}", ["molnet", "predict", begun]
        )
    assert in_bash("molnet predict 'it", ["molnet", "predict", "'it"]) == [""]


def test_zsh(folder: Path) -> None:
    """A terminal is behind zsh's completion; here ``compadd`` prints what would be offered."""

    def completed(*words: str) -> list[str]:
        *_, prefix = words
        return shell(
            "zsh",
            "compdef() { }; compadd() { shift 4; print -rl -- $@ }; "
            f"source <(molnet completion zsh); words=({shlex.join(words)}); "
            f"CURRENT={len(words)}; PREFIX={shlex.quote(prefix)}; _molnet || true",
        )

    assert completed("molnet", "tr") == ["train "]
    assert completed("molnet", "train", "dataset=str") == ["dataset=structures "]
    assert completed("molnet", "predict", "wa") == ["water\\ box.xyz ", "water.xyz "]
    assert completed("molnet", "predict", "zz") == []


def test_fish(folder: Path) -> None:
    def completed(line: str) -> list[str]:
        return shell("fish", f"molnet completion fish | source; complete -C {shlex.quote(line)}")

    assert completed("molnet tr") == ["train"]
    assert completed("molnet train dataset=str") == ["dataset=structures"]
    assert set(completed("molnet predict wat")) == {"water.xyz", "water box.xyz"}
    assert completed("molnet predict ru") == ["runs/"]


def test_mistakes(folder: Path) -> None:
    run = subprocess.run(["molnet", "completion", "bsh"], capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr == "error: unknown shell bsh: did you mean 'bash'?\n"
    assert (
        "~/.bashrc"
        in subprocess.run(
            ["molnet", "completion"], capture_output=True, text=True, check=True
        ).stdout
    )
