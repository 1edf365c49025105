"""The table and the file of a sweep."""

import csv
from pathlib import Path

from molnet.sweeps.ranking import ranking_table, write_csv
from molnet.sweeps.trials import COMPLETE, FAILED, PRUNED, Trial, ranked

TRIALS = [
    Trial(0, ["model=small", "optimizer.lr=9"], FAILED, error="nan, in epoch 1"),
    Trial(1, ["model=small", "optimizer.lr=0.0123456789"], PRUNED, value=0.1, epochs=3),
    Trial(2, ["model=small", "optimizer.lr=0.2"], COMPLETE, value=0.7, objective="validation/loss"),
    Trial(
        number=3,
        arguments=["model=small", "optimizer.lr=0.1"],
        state=COMPLETE,
        value=0.5,
        objective="validation/loss",
        unit="eV",
        epochs=9,
        best_epoch=8,
        seconds=70,
    ),
]


def test_the_table_has_the_best_first_and_only_what_differs() -> None:
    title, header, _, *rows = map(str.split, ranking_table(ranked(TRIALS)).splitlines())
    assert title == ["validation/loss"]
    assert header == ["trial", "optimizer.lr", "eV", "best", "epoch", "time"]
    assert rows == [
        ["1", "3", "0.1", "0.5", "8", "of", "9", "1m10s"],
        ["2", "2", "0.2", "0.7"],
        ["1", "0.01235", "pruned", "of", "3"],
        ["0", "9", "failed"],
    ]


def test_the_file_has_all_of_it(tmp_path: Path) -> None:
    write_csv(tmp_path / "ranking.csv", ranked(TRIALS))
    with (tmp_path / "ranking.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["1", "2", "", ""]
    assert [row["state"] for row in rows] == [COMPLETE, COMPLETE, PRUNED, FAILED]
    assert rows[2]["optimizer.lr"] == "0.0123456789"
    assert rows[3]["error"] == "nan, in epoch 1"
    assert list(tmp_path.iterdir()) == [tmp_path / "ranking.csv"]
