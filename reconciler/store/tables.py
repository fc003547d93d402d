"""The tables of the store; migrations make them so, and a test compares both."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, MetaData, String, Table, Text

METADATA = MetaData()

USERNAMES = Table(
    "usernames",
    METADATA,
    Column("cluster", String, primary_key=True),
    Column("offering", String, primary_key=True),  # its uuid
    Column("person", String, primary_key=True),  # the user's uuid in the portal
    Column("username", String, primary_key=True),
)
ABSENT = Table(
    "absent",
    METADATA,
    Column("cluster", String, primary_key=True),
    Column("offering", String, primary_key=True),  # its name
    Column("field", String, primary_key=True),
    Column("day", String, nullable=False),
)
STRANGERS = Table(
    "strangers",
    METADATA,
    Column("cluster", String, primary_key=True),
    Column("account", String, primary_key=True),
    Column("day", String, nullable=False),
)
REPORTED = Table(
    "reported",
    METADATA,
    Column("cluster", String, primary_key=True),
    Column("moment", String, nullable=False),
)
READS = Table(
    "reads",
    METADATA,
    Column("cluster", String, primary_key=True),
    Column("offering", String, primary_key=True),  # its uuid
    Column("resources", Integer, nullable=False),
    Column("ended", Text, nullable=False),  # accounts still there whose resources the portal calls Terminated, as JSON
    Column("moment", String, nullable=False),
)
ACCEPTED = Table(
    "accepted",
    METADATA,
    Column("cluster", String, primary_key=True),
    Column("account", String, primary_key=True),  # an orphan that a person knows of
)
ADOPTED = Table(
    "adopted",
    METADATA,
    Column("cluster", String, primary_key=True),
    Column("offering", String, primary_key=True),  # its uuid
    Column("moment", String, nullable=False),  # empty: limits that would fall still wait for consent
)
LIMITS = Table(
    "limits",
    METADATA,
    Column("cluster", String, primary_key=True),
    Column("account", String, primary_key=True),
    Column("field", String, primary_key=True),
    Column("names", Text, nullable=False),  # what of the field was set here, as a JSON list
)
RENEWED = Table(
    "renewed",
    METADATA,
    Column("cluster", String, primary_key=True),
    Column("account", String, primary_key=True),
    Column("period", String, nullable=False),  # the last one for which its counters began anew
    Column("moment", String, nullable=False),
)
CLUSTERS = Table(
    "clusters",
    METADATA,
    Column("reached", String, primary_key=True),  # from which host and which way
    Column("cluster", String, nullable=False),  # what SLURM calls it
)
FREEZES = Table(
    "freezes",
    METADATA,
    Column("cluster", String, primary_key=True),  # empty: all of them
    Column("until", String, nullable=False),  # empty: until somebody lifts it
    Column("reason", Text, nullable=False),
    Column("who", String, nullable=False),
    Column("moment", String, nullable=False),
)
LOCKS = Table(
    "locks",
    METADATA,
    Column("name", String, primary_key=True),
    Column("holder", String, nullable=False),
)
RUNS = Table(
    "runs",
    METADATA,
    Column("id", String, primary_key=True),
    Column("cluster", String, nullable=False),
    Column("started", String, nullable=False),  # ISO 8601 in UTC, like all moments here
    Column("ended", String, nullable=False),  # empty while it runs
    Column("state", String, nullable=False),  # running, done, failed, interrupted
    Column("holder", String, nullable=False),  # who ran it, where
    Column("version", String, nullable=False),
    Column("config_digest", String, nullable=False),
    Column("planned", Integer, nullable=False),
)
ACTIONS = Table(
    "actions",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run", String, nullable=False),
    Column("address", String, nullable=False),
    Column("action", String, nullable=False),
    Column("before", Text, nullable=False),  # JSON; null for what did not exist
    Column("after", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("command", Text, nullable=False),
    Column("tried", String, nullable=False),
    Column("outcome", String, nullable=False),  # empty, done, failed, left
    Column("text", Text, nullable=False),
    Column("seconds", Float, nullable=False),
    Index("actions_of_run", "run"),
    Index("actions_of_address", "address"),
)
