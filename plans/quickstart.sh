#!/bin/sh
# cluster default, offerings: Quickstart
# planned 2026-11-01T00:00:00Z by reconcile; stops at the first command that fails
set -eu

# create slurm.qos["paused"]: reconcile.qos.paused in the configuration
# create slurm.qos["slowdown"]: reconcile.qos.slowdown in the configuration
sacctmgr -i add qos name=paused,slowdown

# create slurm.account["c_nordic"]: customer "Nordic University" has resources here
sacctmgr -i add account name=c_nordic cluster=default parent=root 'description=nordic university' organization=c_nordic

# create slurm.account["p_climate"]: project "Climate" has resources here
sacctmgr -i add account name=p_climate cluster=default parent=c_nordic description=climate organization=p_climate

# create slurm.account["a_climate-model"]: resource "Climate model" desired.yaml#0 of offering "Quickstart", cpu = 100 k-Hours (limits.cpu) x 60000, mem = 128 gb-Hours (limits.mem) x 61440
# create slurm.account["a_ocean-model"]: resource "Ocean model" desired.yaml#1 of offering "Quickstart", cpu = 20 k-Hours (limits.cpu) x 60000, mem = 64 gb-Hours (limits.mem) x 61440
sacctmgr -i add account name=a_climate-model cluster=default parent=p_climate 'description=climate model' organization=p_climate qos=normal GrpTRESMins=cpu=6000000,mem=7864320
sacctmgr -i add account name=a_ocean-model cluster=default parent=p_climate 'description=ocean model' organization=p_climate qos=normal GrpTRESMins=cpu=1200000,mem=3932160

# create slurm.association["a_climate-model","alice"]: alice is a member of project "Climate"
# create slurm.association["a_climate-model","bob"]: bob is a member of project "Climate"
# create slurm.association["a_ocean-model","alice"]: alice is a member of project "Climate"
sacctmgr -i add user name=alice,bob account=a_climate-model cluster=default
sacctmgr -i add user name=alice account=a_ocean-model cluster=default
