"""Minimum-energy paths between structures in files: ``molnet neb``.

python scripts/neb.py --help
"""

from molnet.commands.neb import main

if __name__ == "__main__":
    main()
