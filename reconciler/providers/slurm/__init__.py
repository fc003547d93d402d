"""SLURM through sacctmgr, squeue and sacct."""
