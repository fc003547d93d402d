"""Home directories of members, on the cluster's login node or wherever its commands run."""

from reconciler.providers.host.passwd import Account, accounts
from reconciler.providers.host.read import Entry, actual, desired, home_path, homedirs, path_problem, scanned
from reconciler.providers.host.write import correct_mode, create

__all__ = [
    "Account",
    "Entry",
    "accounts",
    "actual",
    "correct_mode",
    "create",
    "desired",
    "home_path",
    "homedirs",
    "path_problem",
    "scanned",
]
