"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _text(name: str, **more: bool) -> sa.Column[str]:
    return sa.Column(name, sa.String, nullable=False, **more)  # type: ignore[arg-type]  # flags only


def upgrade() -> None:
    """Make them."""
    op.create_table("usernames", *(_text(n, primary_key=True) for n in ("cluster", "offering", "person", "username")))
    op.create_table("absent", *(_text(n, primary_key=True) for n in ("cluster", "offering", "field")), _text("day"))
    op.create_table("strangers", *(_text(n, primary_key=True) for n in ("cluster", "account")), _text("day"))
    op.create_table("reported", _text("cluster", primary_key=True), _text("moment"))
    op.create_table(
        "reads",
        _text("cluster", primary_key=True),
        _text("offering", primary_key=True),
        sa.Column("resources", sa.Integer, nullable=False),
        sa.Column("ended", sa.Text, nullable=False),
        _text("moment"),
    )
    op.create_table("accepted", *(_text(n, primary_key=True) for n in ("cluster", "account")))
    op.create_table(
        "freezes",
        _text("cluster", primary_key=True),
        _text("until"),
        sa.Column("reason", sa.Text, nullable=False),
        _text("who"),
        _text("moment"),
    )
    op.create_table("locks", _text("name", primary_key=True), _text("holder"))
    op.create_table(
        "runs",
        _text("id", primary_key=True),
        *(_text(n) for n in ("cluster", "started", "ended", "state", "holder", "version", "config_digest")),
        sa.Column("planned", sa.Integer, nullable=False),
    )
    op.create_table(
        "actions",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        *(_text(n) for n in ("run", "address", "action")),
        *(sa.Column(n, sa.Text, nullable=False) for n in ("before", "after", "reason", "command")),
        *(_text(n) for n in ("tried", "outcome")),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
    )
    op.create_index("actions_of_run", "actions", ["run"])
    op.create_index("actions_of_address", "actions", ["address"])
