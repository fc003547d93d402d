"""MOAB Accounting Manager (MAM): accounts with members, and funds with money in them, by its ``mam-*`` commands."""
