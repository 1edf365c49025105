"""Hydra finds the sweepers of molnet here, as :data:`molnet.bundled.PLUGINS` is on the path."""

from typing import Any

from hydra.plugins.sweeper import Sweeper


class GridSweeper(Sweeper):
    """See :class:`molnet.sweeps.grid.Grid`."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.context: dict[str, Any] = {}

    def setup(self, **context: Any) -> None:
        """Take what Hydra gives."""
        self.context = context

    def sweep(self, arguments: list[str]) -> Any:
        """Run all trainings."""
        from molnet.sweeps.grid import Grid

        return Grid(self.settings, self.context).sweep(arguments)


class OptunaSweeper(GridSweeper):
    """See :class:`molnet.sweeps.search.Search`."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run trainings until the study is complete."""
        from molnet.training.extras import needs

        with needs("optuna", "hydra/sweeper=optuna", "sweep"):
            from molnet.sweeps.search import Search

        return Search(self.context).sweep(arguments)
