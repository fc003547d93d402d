"""reconcile: what Waldur says an HPC cluster should be, compared with what it is."""

__version__ = "0.1.0"
