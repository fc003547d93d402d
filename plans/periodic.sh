#!/bin/sh
# cluster default, offerings: Monthly hours
# planned 2026-11-01T00:00:00Z by reconcile; stops at the first command that fails
set -eu

# create slurm.qos["paused"]: reconcile.qos.paused in the configuration
# create slurm.qos["slowdown"]: reconcile.qos.slowdown in the configuration
sacctmgr -i add qos name=paused,slowdown

# create slurm.account["c_baltic"]: customer "Baltic Institute" has resources here
sacctmgr -i add account name=c_baltic cluster=default parent=root 'description=baltic institute' organization=c_baltic

# create slurm.account["p_fusion"]: project "Fusion" has resources here
sacctmgr -i add account name=p_fusion cluster=default parent=c_baltic description=fusion organization=p_fusion

# create slurm.account["a_fresh"]: resource "Fresh" desired.yaml#2 of offering "Monthly hours", cpu = 90 Hours (limits.cpu) + 45 carried over x 60 x (1 + 0.2), mem = 100 GB-Hours (limits.mem) + 50 carried over x 61440 x (1 + 0.2), gres/gpu = 10 Hours (limits.gpu) + 5 carried over x 60 x (1 + 0.2)
sacctmgr -i add account name=a_fresh cluster=default parent=p_fusion description=fresh organization=p_fusion fairshare=100 qos=normal GrpTRESMins=billing=21600,cpu=9720,gres/gpu=1080,mem=11059200

# create slurm.association["a_busy","bob"]: bob is a member of project "Climate"
# create slurm.association["a_fresh","carol"]: carol is a member of project "Fusion"
sacctmgr -i add user name=bob account=a_busy cluster=default
sacctmgr -i add user name=carol account=a_fresh cluster=default

# update slurm.account["a_busy"]: resource "Busy" desired.yaml#1 of offering "Monthly hours", cpu = 500 Hours (limits.cpu) x 60 x (1 + 0.2), mem = 0 GB-Hours (limits.mem) x 61440 x (1 + 0.2), gres/gpu = 0 Hours (limits.gpu) x 60 x (1 + 0.2), downscaled
# update slurm.account["a_thrifty"]: resource "Thrifty" desired.yaml#0 of offering "Monthly hours", cpu = 1000 Hours (limits.cpu) + 300 carried over x 60 x (1 + 0.2), mem = 4000 GB-Hours (limits.mem) + 2000 carried over x 61440 x (1 + 0.2), gres/gpu = 20 Hours (limits.gpu) x 60 x (1 + 0.2)
sacctmgr -i modify account where name=a_busy cluster=default set fairshare=166 qos=slowdown defaultqos=slowdown GrpTRESMins=billing=36000,cpu=36000
sacctmgr -i modify account where name=a_thrifty cluster=default set fairshare=2440 GrpTRESMins=billing=151200,cpu=93600,gres/gpu=1440,mem=442368000
