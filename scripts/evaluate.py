"""Errors of a saved model on a data set: ``molnet evaluate``.

python scripts/evaluate.py --help
"""

from molnet.commands.evaluate import main

if __name__ == "__main__":
    main()
