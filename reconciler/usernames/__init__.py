"""Names for people who have none on the cluster yet. Pure: who needs one comes in, proposals go out."""

from reconciler.usernames.model import Person, Proposal, UsernameBackend
from reconciler.usernames.plugins import GROUP, backend

__all__ = ["GROUP", "Person", "Proposal", "UsernameBackend", "backend"]
