"""The state machine of all promises: edits on both sides, faults and deaths at any write, and what must hold after it.

A world says where it runs: in memory (``tests/test_machine.py``) or on a real SLURM and the HTTP stand-in
(``tests/live/test_machine.py``). The judgements here know nothing of how reconcile works.
"""
