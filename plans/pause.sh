#!/bin/sh
# cluster default, offerings: Pause and downscale
# planned 2026-11-01T00:00:00Z by reconcile; stops at the first command that fails
set -eu

# create slurm.qos["paused"]: reconcile.qos.paused in the configuration
# create slurm.qos["slowdown"]: reconcile.qos.slowdown in the configuration
sacctmgr -i add qos name=paused,slowdown

# update slurm.account["a_overdrawn"]: resource "Overdrawn" desired.yaml#0 of offering "Pause and downscale", cpu = 10 k-Hours (limits.cpu) x 60000, mem = 1 gb-Hours (limits.mem) x 61440, downscaled
# update slurm.account["a_unpaid"]: resource "Unpaid" desired.yaml#1 of offering "Pause and downscale", cpu = 10 k-Hours (limits.cpu) x 60000, mem = 1 gb-Hours (limits.mem) x 61440, paused
sacctmgr -i modify account where name=a_overdrawn cluster=default set qos=slowdown defaultqos=slowdown
sacctmgr -i modify account where name=a_unpaid cluster=default set qos=paused defaultqos=paused

# delete slurm.association["a_ended","carol"]: its account goes: resource "Ended" is Terminated in desired.yaml
sacctmgr -i remove user where name=carol account=a_ended cluster=default

# delete slurm.account["a_ended"]: resource "Ended" is Terminated in desired.yaml
sacctmgr -i remove account where name=a_ended cluster=default

# delete slurm.account["p_fusion"]: made for a project or customer that has no resources any more
sacctmgr -i remove account where name=p_fusion cluster=default

# delete slurm.account["c_baltic"]: made for a project or customer that has no resources any more
sacctmgr -i remove account where name=c_baltic cluster=default
