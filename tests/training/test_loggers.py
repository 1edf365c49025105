"""Loggers beside TensorBoard, none of which needs a network here."""

import csv
import json
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from molnet.training.config import ConfigError
from molnet.training.run import train

Settings = Callable[..., DictConfig]


def test_csv(settings: Settings, tmp_path: Path) -> None:
    metrics = train(settings("logger=csv"))
    with (tmp_path / "run" / "logs" / "version_0" / "metrics.csv").open() as file:
        losses = [row["validation/loss"] for row in csv.DictReader(file)]
    assert metrics["objective"]["value"] == pytest.approx(min(float(x) for x in losses if x))


def test_weights_and_biases_without_a_network(settings: Settings, tmp_path: Path) -> None:
    """A run that goes on does so in the same record; another run has one of its own."""
    pytest.importorskip("wandb")
    given = ["logger=wandb", "logger.wandb.offline=true"]
    train(settings(*given, "trainer.max_epochs=1"))
    time.sleep(1)  # the parts have their names from the second in which they begin
    metrics = train(settings(*given, "trainer.max_epochs=2", f"resume={tmp_path / 'run'}"))
    first, second = records_in(tmp_path / "run")
    assert first.name == second.name
    settings_of, logged, summary = in_record(second)
    assert settings_of["trainer"]["max_epochs"] == 2
    with (tmp_path / "run" / "history.csv").open() as file:
        *_, last = csv.DictReader(file)
    assert logged.keys() >= last.keys() - {"epoch", "step", "seconds"}
    assert logged["validation/loss"] == pytest.approx(float(last["validation/loss"]))
    forces = metrics["test"]["forces"]
    assert summary["final/test/forces_mae (meV/Å)"] == pytest.approx(forces["mae"])
    other = tmp_path / "other"
    train(settings(*given, "trainer.max_epochs=1", f"run_folder={other}"))
    (record,) = records_in(other)
    assert record.name != first.name


def records_in(run: Path) -> list[Path]:
    """The files of one record, which has one for each part of the run."""
    # The folders' names hold the time at which the parts began.
    return sorted(run.glob("wandb/offline-run-*/run-*.wandb"), key=lambda path: path.parent.name)


def in_record(path: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The settings, all values of the history and the summary that ``wandb sync`` would send."""
    from wandb.proto.wandb_internal_pb2 import Record

    found: tuple[dict[str, Any], ...] = ({}, {}, {})
    for data in entries(path.read_bytes()):
        record = Record.FromString(data)
        # Settings that are known early enough come with the description of the run.
        settings = [*record.run.config.update, *record.config.update]
        of_record = (settings, record.history.item, record.summary.update)
        for values, items in zip(found, of_record, strict=True):
            for item in items:
                values[item.key or ".".join(item.nested_key)] = json.loads(item.value_json)
    return found  # type: ignore[return-value]


def entries(content: bytes) -> Iterator[bytes]:
    """The entries of a log as LevelDB writes it: in blocks of 32 KiB, across which they go on."""
    block, header, last_parts = 2**15, 7, (1, 4)
    at, entry = header, b""
    while at + header <= len(content):
        if block - at % block < header:
            at += block - at % block  # zeros
            continue
        _, length, part = struct.unpack_from("<IHB", content, at)
        at += header + length
        entry += content[at - length : at]
        if part in last_parts:
            yield entry
            entry = b""


@pytest.mark.slow
def test_mlflow_without_a_server(settings: Settings, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    given = ["logger=mlflow", f"logger.mlflow.tracking_uri={uri}"]
    train(settings(*given, "trainer.max_epochs=1"))
    metrics = train(settings(*given, "trainer.max_epochs=2", f"resume={tmp_path / 'run'}"))
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("molnet")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    values = [
        entry.value for entry in client.get_metric_history(run.info.run_id, "validation/loss")
    ]
    assert len(values) == 2
    assert metrics["objective"]["value"] == pytest.approx(min(values))
    found = run.data
    assert "validation/forces_mae" in found.metrics
    forces = metrics["test"]["forces"]
    assert found.metrics["final/test/forces_mae"] == pytest.approx(forces["mae"])
    assert found.params["optimizer._target_"] == "torch.optim.AdamW"
    assert found.params["trainer.max_epochs"] == "1"
    assert found.tags["trainer.max_epochs"] == "2"


def test_a_server_that_is_not_there_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = "logger.mlflow.tracking_uri=http://127.0.0.1:9"
    with pytest.raises(ConfigError, match=r"logger=mlflow: http://127\.0\.0\.1:9: .*refused"):
        train(settings("logger=mlflow", uri))


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_logger_that_is_not_installed_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    expected = rf"^logger={name} needs {name}, .* pip install 'molnet\[{name}\]'"
    with pytest.raises(ConfigError, match=expected):
        train(settings(f"logger={name}"))
