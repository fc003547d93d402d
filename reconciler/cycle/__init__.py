"""One reconcile cycle, and what else is planned and applied as one."""
