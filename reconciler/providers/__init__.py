"""Edges: where desired and actual states come from and where changes go."""
