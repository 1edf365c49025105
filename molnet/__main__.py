"""``python -m molnet``, the same as the command ``molnet``."""

from molnet.commands.console import main

main()
