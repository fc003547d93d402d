"""The one YAML file: what waldur-site-agent reads, plus our own ``reconcile:`` block."""

from reconciler.config.block import FairshareFrom, Guards, Maintenance, QosPolicy, ReconcileBlock, Runner, Usernames
from reconciler.config.dwdi import DwdiSettings
from reconciler.config.legacy import load_default
from reconciler.config.models import Component, Config, Offering, SlurmSettings
from reconciler.config.source import default_path, load

__all__ = [
    "Component",
    "Config",
    "DwdiSettings",
    "FairshareFrom",
    "Guards",
    "Maintenance",
    "Offering",
    "QosPolicy",
    "ReconcileBlock",
    "Runner",
    "SlurmSettings",
    "Usernames",
    "default_path",
    "load",
    "load_default",
]
