"""The clusters of `tests/sweeps/cluster`, for the commands that submit sweeps to them."""

from tests.sweeps.cluster.conftest import guarded, kdsweep_there, start_nodes, token

__all__ = ["guarded", "kdsweep_there", "start_nodes", "token"]
