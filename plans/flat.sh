#!/bin/sh
# cluster default, offerings: Flat hierarchy
# planned 2026-11-01T00:00:00Z by reconcile; stops at the first command that fails
set -eu

# create slurm.qos["paused"]: reconcile.qos.paused in the configuration
# create slurm.qos["slowdown"]: reconcile.qos.slowdown in the configuration
sacctmgr -i add qos name=paused,slowdown

# create slurm.account["p_climate"]: project "Climate" has resources here
sacctmgr -i add account name=p_climate cluster=default parent=waldur description=climate organization=p_climate

# create slurm.account["a_climate-model"]: resource "Climate model" desired.yaml#0 of offering "Flat hierarchy", cpu = 100 k-Hours (limits.cpu) x 60000, mem = 128 gb-Hours (limits.mem) x 61440
sacctmgr -i add account name=a_climate-model cluster=default parent=p_climate 'description=climate model' organization=p_climate qos=normal GrpTRESMins=cpu=6000000,mem=7864320

# create slurm.association["a_climate-model","alice"]: alice is a member of project "Climate"
# create slurm.association["a_climate-model","bob"]: bob is a member of project "Climate"
sacctmgr -i add user name=alice,bob account=a_climate-model cluster=default
