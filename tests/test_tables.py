"""Tables of text."""

from molnet.tables import table, table_of_groups


def test_words_stand_left_and_numbers_right() -> None:
    rows = [("forces [norm]", "meV/Å", "1.5"), ("a", "eV", "-120")]
    assert table(("property", "unit", "mean"), rows, words=(0, 1)).splitlines() == [
        "property       unit   mean",
        "──────────────────────────",
        "forces [norm]  meV/Å   1.5",
        "a              eV     -120",
    ]


def test_a_name_of_two_lines_makes_a_header_of_two_lines() -> None:
    assert table(("", "test\nMAE", "\nRMSE"), [("forces", "1", "2")]).splitlines() == [
        "        test",
        "         MAE  RMSE",
        "──────────────────",
        "forces     1     2",
    ]


def test_the_worst_groups_are_those_far_above_the_mean_of_a_column() -> None:
    errors = {f"g{i}": {"energy\nmeV": 1.0 + i, "forces\neV/Å": 0.01} for i in range(7)}
    errors["a group with a rather long name"] = {"forces\neV/Å": 0.5}
    assert table_of_groups("test MAE", "kind", errors).splitlines() == [
        "test MAE                  energy  forces",
        "by kind (worst 6 of 8)       meV    eV/Å",
        "────────────────────────────────────────",
        "a group with a rather l…             0.5",
        "g6                             7    0.01",
        "g5                             6    0.01",
        "g4                             5    0.01",
        "g3                             4    0.01",
        "g2                             3    0.01",
    ]
