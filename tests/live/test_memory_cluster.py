"""The cluster in memory against the real one: the same commands, the same exit codes, the same readings.

What the state machine proves in memory rests on this.
"""

from __future__ import annotations

from reconciler.config import Runner
from reconciler.providers.runner import CommandRunner, Result
from reconciler.providers.slurm.read import SlurmReader
from tests.live.conftest import CLUSTER, Slurm
from tests.memory.cluster import MemoryCluster, MemoryRunner

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
    real, memory = CommandRunner(Runner(slurm_bin_path="/usr/bin")), MemoryRunner(MemoryCluster())
    for command in COMMANDS:
        ours, theirs = sent(memory, command), sent(real, command)
        assert ours.code == theirs.code, (command, ours, theirs)
        left, right = (SlurmReader(r, CLUSTER).read() for r in (memory, real))
        users = {a for a in left.state if a.kind == "slurm.user"}
        assert {a: o for a, o in left.state.items() if a.kind != "slurm.qos"} == {
            a: o for a, o in right.state.items() if a.kind != "slurm.qos"
        }, command
        assert users
