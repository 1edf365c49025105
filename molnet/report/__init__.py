"""Pages that show results: one HTML file that opens offline, with charts and turnable structures.

A page is a list of sections, and a section a list of blocks; all take plain numbers, texts and
:class:`ase.Atoms`::

    from molnet import report

    report.write(
        "report.html",
        "Dynamics of ethanol",
        [
            report.Section("Settings", [report.Facts({"ensemble": "nve", "timestep": "0.5 fs"})]),
            report.Section(
                "Trajectory",
                [
                    report.Trajectory(
                        frames,
                        times,
                        {"potential energy (eV)": energies, "temperature (K)": temperatures},
                        "time (ps)",
                    )
                ],
            ),
        ],
        headline={"drift": "0.4 meV/atom per ns"},
    )
"""

from molnet.report.bands import Bands
from molnet.report.charts import Bars, Histogram, Lines, Points
from molnet.report.page import Section, write
from molnet.report.structures import Modes, Structure, Structures, Trajectory
from molnet.report.tables import Facts, Table

__all__ = [
    "Bands",
    "Bars",
    "Facts",
    "Histogram",
    "Lines",
    "Modes",
    "Points",
    "Section",
    "Structure",
    "Structures",
    "Table",
    "Trajectory",
    "write",
]
