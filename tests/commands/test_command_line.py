"""What mistakes on the command line lead to."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from molnet.commands.command_line import run_command
from molnet.training.overrides import readable


def run(arguments: Sequence[str], task: Any = lambda config: None, name: str = "train") -> None:
    run_command(name, task, [*arguments, "hydra.run.dir=.", "hydra.output_subdir=null"])


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("modle.cutoff=4", "unknown option modle: did you mean 'model'?"),
        ("model.cutof=4", "unknown option model.cutof: did you mean 'model.cutoff'?"),
        ("cutoff=4", "unknown option cutoff: did you mean model.cutoff?"),
        ("target.losses.forces.wieght=4", "did you mean 'target.losses.forces.weight'?"),
        ("model=smal", "unknown option model=smal: did you mean 'small'?"),
        ("target=homoo", "unknown option target=homoo: did you mean 'homo'?"),
        ("experiment=qm9", "unknown option experiment=qm9: did you mean 'qm9_u0'?"),
        ("dataset=methane", "expected one of organic, qm9, structures"),
    ],
)
def test_the_nearest_match_is_named(
    capsys: pytest.CaptureFixture[str], argument: str, message: str
) -> None:
    with pytest.raises(SystemExit) as end:
        run([argument])
    assert end.value.code == 1
    output = capsys.readouterr().err
    assert message in output
    assert output.startswith("error: ")
    assert "Traceback" not in output


@pytest.mark.parametrize("group", ["dataset", "target", "model", "optimizer", "logger"])
@pytest.mark.parametrize("value", ["null", "[1,2]", "{a: 1}", "-1", "1.5", "nan", "true"])
def test_a_choice_is_a_name(capsys: pytest.CaptureFixture[str], group: str, value: str) -> None:
    with pytest.raises(SystemExit) as end:
        run([f"{group}={value}"])
    assert end.value.code == 1
    output = capsys.readouterr().err
    assert output.startswith(f"error: {group}={value}: expected the name of an option, {group}=")
    assert len(output.splitlines()) == 1


def test_a_choice_that_is_null_by_default_may_be_given_as_null() -> None:
    seen: list[Any] = []
    run(["experiment=null", "dataset=organic"], seen.append)
    run(["dataset=null", "model=folder"], seen.append, "evaluate")
    assert "dataset" not in seen[1]


@pytest.mark.parametrize(
    "argument", ["=", "=3", "a", "model.=3", ".model=3", "a=b=c", "++", "~", "{}"]
)
def test_arguments_that_are_no_settings(capsys: pytest.CaptureFixture[str], argument: str) -> None:
    with pytest.raises(SystemExit) as end:
        run([argument])
    assert end.value.code == 1
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("value", ["eV/Å", "my file (1).xyz", "a=b", 'say "x"', "back\\slash"])
def test_values_reach_the_task_as_they_were_typed(value: str) -> None:
    seen = []
    run([f"resume={value}"], seen.append)
    assert seen[0].resume == value


def test_lists_choices_and_flags_are_left_alone() -> None:
    for argument in ("dataset.path=[a.xyz,b.xyz]", "model.cutoff=4,5", "--help", "-m", "seed=null"):
        assert readable(argument) == argument


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("+dataset.labels.mu={key: mu, unit: e*Å}", {"key": "mu", "unit": "e*Å"}),
        ("+dataset.labels.r2={key: r2, unit: Å^2}", {"key": "r2", "unit": "Å^2"}),
        ("+x={key: 'a b', unit: cal/(mol K), n: 2}", {"key": "a b", "unit": "cal/(mol K)", "n": 2}),
        ("+x={cartesian: ij=ji, shape: [3, 3]}", {"cartesian": "ij=ji", "shape": [3, 3]}),
        ("+x={a: {weight: 1.5, unit: eV/Å}}", {"a": {"weight": 1.5, "unit": "eV/Å"}}),
    ],
)
def test_units_and_formulas_within_braces_need_no_quotes(argument: str, expected: object) -> None:
    parsed = OverridesParser.create().parse_override(readable(argument)).value()
    assert OmegaConf.to_container(OmegaConf.create({"x": parsed}))["x"] == expected


def raise_in_package(config: object) -> None:
    from molnet.properties import Property
    from molnet.training.losses import LossTerm

    LossTerm(Property("energy", "eV"), scale=-1.0)


def raise_elsewhere(config: object) -> None:
    int("no number")


def raise_os_error(config: object) -> None:
    Path("missing.txt").read_text()


@pytest.mark.parametrize(
    ("task", "message"), [(raise_in_package, "positive scale"), (raise_os_error, "missing.txt")]
)
def test_mistakes_of_the_user_end_with_one_message(
    capsys: pytest.CaptureFixture[str], task: Any, message: str
) -> None:
    with pytest.raises(SystemExit) as end:
        run([], task)
    assert end.value.code == 1
    assert message in capsys.readouterr().err


def test_faults_of_the_program_show_their_traceback() -> None:
    with pytest.raises(ValueError, match="no number"):
        run([], raise_elsewhere)


def test_every_traceback_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ValueError, match="positive scale"):
        run([], raise_in_package)


def test_ctrl_c_has_its_own_status() -> None:
    def interrupted(config: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as end:
        run([], interrupted)
    assert end.value.code == 130


def test_a_key_may_have_the_name_of_another_scripts_group() -> None:
    seen = []
    run(["model=some/folder"], seen.append, "evaluate")
    assert seen[0].model == "some/folder"
