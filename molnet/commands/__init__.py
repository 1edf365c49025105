"""The command ``molnet``: one module for each of its commands.

A module ``NAME.py`` has a function ``main(arguments)``; :data:`molnet.commands.console.COMMANDS`
lists it. The scripts in ``scripts/`` call the same functions.
"""
