"""molnet: equivariant message-passing networks for molecular properties."""

__version__ = "0.1.0"
