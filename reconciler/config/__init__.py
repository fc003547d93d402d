"""The one YAML file: what waldur-site-agent reads, plus our own ``reconcile:`` block."""

from reconciler.config.models import (
    Component,
    Config,
    FairshareFrom,
    Guards,
    Offering,
    QosPolicy,
    ReconcileBlock,
    Runner,
    SlurmSettings,
)
from reconciler.config.source import default_path, load

__all__ = [
    "Component",
    "Config",
    "FairshareFrom",
    "Guards",
    "Offering",
    "QosPolicy",
    "ReconcileBlock",
    "Runner",
    "SlurmSettings",
    "default_path",
    "load",
]
