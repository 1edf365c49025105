"""Predict properties for structure files: ``molnet predict``.

python scripts/predict.py --help
"""

from molnet.commands.predict import main

if __name__ == "__main__":
    main()
