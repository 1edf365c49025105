"""The page of a crystal's phonons: band structure, density of states, thermal properties."""

from pathlib import Path

from molnet import report
from molnet.simulate.phonon_files import TEMPERATURES, PhononsOfFile, thermal_table


def page_of_phonons(result: PhononsOfFile) -> Path:
    """Writes ``report.html`` into the folder of a crystal."""
    found, cell = result.phonons, result.phonons.atoms.get_chemical_formula()
    lowest = found.lowest[0]
    free, entropy, capacity = thermal_table(found).T
    sections = [
        report.Section(
            "Band structure and density of states",
            [
                report.Bands(
                    found.bands,
                    found.path.lengths,
                    found.path.labels,
                    found.path.connected,
                    *found.density,
                    "frequency (cm⁻¹)",
                    caption="Imaginary frequencies are drawn as negative numbers."
                    if result.imaginary
                    else "",
                )
            ],
        ),
        report.Section(
            "Thermal properties",
            [
                report.Lines(
                    TEMPERATURES, {"free energy": free}, "temperature (K)", f"eV of {cell}"
                ),
                report.Lines(
                    TEMPERATURES,
                    {"entropy": entropy, "heat capacity": capacity},
                    "temperature (K)",
                    f"meV/K of {cell}",
                ),
            ],
            "Of the phonons, at constant volume.",
        ),
        report.Section(
            "Crystal", [report.Structures([report.Structure(result.name, found.atoms)])]
        ),
        report.Section(
            "Numbers",
            [
                report.Facts(
                    {
                        "space group": found.spacegroup,
                        "supercell": " × ".join(map(str, found.supercell)),
                        "atoms in the supercell": len(found.calculation.supercell),
                        "displacements": len(found.calculation.displacements),
                        "energy (eV)": f"{found.energy:.4f}",
                        "largest force (eV/Å)": f"{result.force:.4f}",
                        "largest stress (GPa)": f"{found.stress:.3f}",
                        "lowest frequency (cm⁻¹)": f"{lowest:.1f}",
                    }
                )
            ],
        ),
    ]
    headline = {
        "highest frequency": f"{found.highest:.0f} cm⁻¹",
        "zero-point energy": f"{found.zero_point_energy:.4f} eV",
        "imaginary frequencies": f"down to {-lowest:.0f}i cm⁻¹" if result.imaginary else "none",
    }
    title = f"Phonons of {result.name}"
    return report.write(result.folder / "report.html", title, sections, headline, cell)
