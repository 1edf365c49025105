"""Harmonic vibrations of structures in files: ``molnet vibrations``.

python scripts/vibrations.py --help
"""

from molnet.commands.vibrations import main

if __name__ == "__main__":
    main()
