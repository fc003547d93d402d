"""The cluster in memory against the real one: the same commands, the same exit codes, the same readings.

What the state machine proves in memory rests on this.
"""

from __future__ import annotations

import pwd

from reconciler.config import Runner
from reconciler.providers.runner import CommandRunner, Result
from reconciler.providers.slurm.dialect import introduced
from reconciler.providers.slurm.read import SlurmReader
from tests.live.conftest import CLUSTER, Slurm
from tests.memory.cluster import MemoryCluster
from tests.memory.runner import MemoryRunner

LOAD = """\
Cluster - 'testbed'
Parent - 'root'
Account - 'pc'
Account - 'qa':Description='some text':Organization='org':Fairshare=3:GrpTRESMins=cpu=7:QOS='normal,paused'
Parent - 'qa'
User - 'u7':MaxSubmitJobs=0
User - 'u2'
"""
BAD_LOAD = "Cluster - 'testbed'\nParent - 'root'\nAccount - 'qb':QOS='nosuch'\nAccount - 'qc'\n"

COMMANDS = [
    "add account name=Pa parent=root description=Proj organization=Cust",
    "add account name=pb,pc parent=pa",
    "add account name=pb parent=pa",
    "add account name=pb,zz parent=pa fairshare=4",
    "add account name=pd parent=nosuch",
    "add account name=pe parent=root qos=nosuch",
    "add account name=pe parent=root GrpTRESMins=nosuch=5",
    "add account name=pe parent=root GrpTRESMins=cpu=5,node=10 fairshare=7 qos=normal,paused",
    "add user name=u1,U2 account=pc,pb",
    "add user name=u1 account=pb",
    "add user name=u1,u3 account=pb",
    "add user name=u1 account=nosuch",
    "add user name=v1 account=nosuch,pb",
    "add user name=u4 account=pe fairshare=3 MaxSubmitJobs=0 MaxTRESMins=cpu=3",
    "modify account where name=pe set GrpTRESMins=cpu=-1,node=3 fairshare=parent",
    "modify account where name=nosuch set fairshare=7",
    "modify account where name=pe,nosuch set fairshare=9 GrpSubmitJobs=4",
    "modify account where name=pe set qos=nosuch",
    "modify account where name=pe set qos=",
    "modify account where name=pa set qos=paused",
    "modify account where name=pe set parent=pc",
    "modify account where name=pa set parent=pc",
    "modify account where name=pe set parent=nosuch",
    "modify account where name=pe set description=New organization=Org",
    "modify account where name=pe set description=x organization=y parent=root fairshare=2",
    "modify user where name=u4 account=pe set MaxSubmitJobs=-1 qos=paused",
    "modify user where name=u4 account=pb set MaxSubmitJobs=5",
    "modify user where name=u1,u4 account=pb,pe set fairshare=5",
    "modify user where name=u1 set DefaultAccount=pb",
    "modify user where name=u1 set DefaultAccount=pe",
    "modify user where name=nosuch set DefaultAccount=pc",
    "remove user where name=u1 account=pc",
    "remove user where name=u1 account=pc",
    "remove user where name=u1 account=pb",
    "remove user where name=u2 account=pb,pc",
    "remove user where name=u2,u3 account=pc",
    "remove account where name=zz",
    "remove account where name=nosuch",
    "add account name=zz parent=root description=other",
    "remove account where name=pa",
    "add user name=u3 account=zz",
    LOAD,
    BAD_LOAD,
    "remove user where name=u2,u7 account=qa,zz",
    "remove account where name=pe,pc",
]


def argv(command: str) -> tuple[str, ...]:
    """The words of a command, with the cluster where reconcile puts it."""
    words = command.split()
    at = words.index("set") if "set" in words else len(words)
    return ("-i", *words[:at], f"cluster={CLUSTER}", *words[at:])


def sent(runner: CommandRunner, command: str) -> Result:
    """Run a command of the list."""
    if command.startswith("Cluster"):
        return runner.run("sacctmgr", "-i", "load", "/dev/stdin", stdin=command)
    return runner.run("sacctmgr", *argv(command))


def test_the_cluster_in_memory_does_what_the_real_one_does(slurm: Slurm, monkeypatch) -> None:
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
    real, memory = introduced(CommandRunner(Runner(slurm_bin_path="/usr/bin"))), MemoryRunner(MemoryCluster())
    for command in COMMANDS:
        ours, theirs = sent(memory, command), sent(real, command)
        assert ours.code == theirs.code, (command, ours, theirs)
        left, right = (SlurmReader(r, CLUSTER).read() for r in (memory, real))
        users = {a for a in left.state if a.kind == "slurm.user"}
        assert {a: o for a, o in left.state.items() if a.kind != "slurm.qos"} == {
            a: o for a, o in right.state.items() if a.kind != "slurm.qos"
        }, command
        assert users


#: what is printed must be the same, word by word and line by line
READS = [
    "sacctmgr -P show account withcoord format=Account,Coordinators",
    "sacctmgr -nP show account withcoord format=Account,Org,Descr,Coordinators",
    "sacctmgr -P show user format=User,DefaultAccount,Admin",
    "sacctmgr -P show assoc where cluster=testbed format=Cluster,Account,User,ParentName,Share,DefaultQOS",
    "sacctmgr -P show cluster format=Cluster",
    "squeue -h -a -o %a|%U|%T|%P|%j",
    "squeue -a -o %a|%u|%T|%U",
    "squeue -h -a -O Account:|,State:|",
    "squeue -a -O Account:30|,State:20|,UserID:20|",
    "sacct -aXPn -S now-1hours -o Account,State,UID",
]
COORDINATED = [
    "add account name=pa,pb parent=root cluster=testbed",
    "add user name=u1,u2 account=pa,pb cluster=testbed",
    "add coordinator account=pa names=u1,u2",
    "add coordinator account=pb names=u2,u1",
    "add coordinator account=pa names=u1",
    "add coordinator account=nosuch names=u1",
    "add coordinator account=pa names=nosuch",
    "remove user where name=u1 account=pb cluster=testbed",
    "remove coordinator account=pb names=u1",
    "remove coordinator account=pb names=u1",
    "remove coordinator account=nosuch names=u1",
    "remove user where name=u2 account=pa,pb cluster=testbed",
    "remove user where name=u1 account=pa cluster=testbed",
    "add user name=u1 account=pb cluster=testbed",
    "add coordinator account=pb names=u1",
    "remove account where name=pb cluster=testbed",
    "add account name=pb parent=root cluster=testbed",
]


def printed(runner: CommandRunner, command: str) -> list[str]:
    """The lines of a read, in any order."""
    result = runner.run(*command.split())
    assert result.code == 0, result
    return sorted(result.stdout.splitlines())


def test_coordinators_and_jobs_look_as_they_do_on_the_real_one(slurm: Slurm, monkeypatch) -> None:
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
    cluster = MemoryCluster()
    real, memory = introduced(CommandRunner(Runner(slurm_bin_path="/usr/bin"))), MemoryRunner(cluster)
    for command in COORDINATED:
        ours, theirs = (r.run("sacctmgr", "-i", *command.split()) for r in (memory, real))
        assert ours.code == theirs.code, (command, ours, theirs)
        for read in READS[:5]:
            assert printed(memory, read) == printed(real, read), (command, read)
    slurm.sacctmgr("add", "user", "name=tbalice", "account=pb")
    slurm.submit("pb", "tbalice", 300)
    waits = slurm.submit("pb", "tbalice", 300, "--exclusive")
    cluster._uids["tbalice"] = pwd.getpwnam("tbalice").pw_uid
    cluster.jobs.clear()
    cluster.begin("pb", "tbalice")
    cluster.begin("pb", "tbalice", "PENDING")
    slurm.eventually(lambda: printed(real, READS[-1]) == printed(memory, READS[-1]), "sacct knows both jobs")
    for read in READS[5:]:
        assert printed(memory, read) == printed(real, read), read
    for runner in (memory, real):
        assert runner.run("scancel", waits if runner is real else "2", "999999").code == 0
    slurm.eventually(lambda: printed(real, READS[5]) == printed(memory, READS[5]), "the second job is gone")
    for runner in (memory, real):
        assert runner.run("scancel", "-A", "pb", "-u", "tbalice").code == 0
    slurm.eventually(lambda: printed(real, READS[5]) == printed(memory, READS[5]) == [], "all jobs are gone")


def test_configuration_looks_as_it_does_on_the_real_one(slurm: Slurm, monkeypatch) -> None:
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
    real, memory = introduced(CommandRunner(Runner(slurm_bin_path="/usr/bin"))), MemoryRunner(MemoryCluster())
    for command in ("sacctmgr -nP show config", "scontrol show config"):
        ours = memory.run(*command.split()).stdout.splitlines()[1:]  # the first has the time
        theirs = real.run(*command.split()).stdout.splitlines()
        left = iter(theirs)
        versions = [line for line in ours if line.startswith("SLURM_VERSION")]
        assert not [line for line in ours if line not in versions and line not in left], (ours, theirs)
