"""A plan is data: changes in order, selection, document, preconditions."""
