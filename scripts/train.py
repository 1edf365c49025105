"""Train a model: ``molnet train`` without installing the command.

python scripts/train.py --help
"""

from molnet.commands.train import main

if __name__ == "__main__":
    main()
