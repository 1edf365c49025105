"""Molecular dynamics of structures in files: ``molnet md``.

python scripts/md.py --help
"""

from molnet.commands.md import main

if __name__ == "__main__":
    main()
