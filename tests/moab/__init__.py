"""MOAB Accounting Manager as a kind of cluster, on the stand-in of ``tests/standin/mam``."""
