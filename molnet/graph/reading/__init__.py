"""How structure files of each format are read; :mod:`molnet.graph.frames` chooses among them."""
