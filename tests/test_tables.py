"""Tables of text."""

from molnet.tables import table


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
