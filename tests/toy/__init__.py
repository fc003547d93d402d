"""A kind of cluster that reconcile never heard of, as another package would bring it."""
