"""A stand-in for MOAB Accounting Manager: executables ``mam-*`` on a ledger in a file, as docs/moab.md describes it.

What is not certain of the real one is a switch (:data:`ledger.SWITCHES`), and tests pass with both settings.
"""
