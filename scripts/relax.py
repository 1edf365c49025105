"""Relaxation of structures in files: ``molnet relax``.

python scripts/relax.py --help
"""

from molnet.commands.relax import main

if __name__ == "__main__":
    main()
