"""Waldur through its REST API."""
