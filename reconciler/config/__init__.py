"""The one YAML file: what waldur-site-agent reads, plus our own ``reconcile:`` block."""

from reconciler.config.backend import REPORTED_BY
from reconciler.config.block import (
    DIRECTORY_KEY,
    FairshareFrom,
    Guards,
    Maintenance,
    QosPolicy,
    ReconcileBlock,
    Runner,
    Usernames,
)
from reconciler.config.dwdi import DwdiSettings
from reconciler.config.legacy import load_default
from reconciler.config.moab import MoabSettings
from reconciler.config.models import Component, Config, Offering
from reconciler.config.settings import BackendSettings
from reconciler.config.source import default_path, load
from reconciler.config.veil import Veil

__all__ = [
    "DIRECTORY_KEY",
    "REPORTED_BY",
    "BackendSettings",
    "Component",
    "Config",
    "DwdiSettings",
    "FairshareFrom",
    "Guards",
    "Maintenance",
    "MoabSettings",
    "Offering",
    "QosPolicy",
    "ReconcileBlock",
    "Runner",
    "Usernames",
    "Veil",
    "default_path",
    "load",
    "load_default",
]
