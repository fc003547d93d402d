"""Usage from DWDI, the usage warehouse of CSCS: read only, over HTTP with OIDC."""

from reconciler.providers.dwdi.open import source
from reconciler.providers.dwdi.source import DwdiSource

__all__ = ["DwdiSource", "source"]
