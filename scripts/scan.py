"""Energies of structures in files along a distance, an angle or a torsion: ``molnet scan``.

python scripts/scan.py --help
"""

from molnet.commands.scan import main

if __name__ == "__main__":
    main()
