"""What outlives a run: locks, the journal, what earlier reads saw. Memory, never truth."""

from reconciler.config import Config
from reconciler.store.database import Store
from reconciler.store.journal import Journal
from reconciler.store.memory import Memory

__all__ = ["Journal", "Memory", "Store", "store_of"]


def store_of(config: Config) -> Store:
    """The store that a configuration names; nothing is opened yet."""
    url = config.reconcile.store
    return Store(config.reconcile.state_dir, url.get_secret_value() if url else "")
