"""What SLURM calls clusters that the configuration does not name, and which ones were run against before."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _text(name: str, *, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String, nullable=False, primary_key=key)


def upgrade() -> None:
    """Make the tables. Offerings that an earlier version read are known: they are recognised by their reads."""
    op.create_table("clusters", _text("reached", key=True), _text("cluster"))
    op.create_table("adopted", _text("cluster", key=True), _text("offering", key=True), _text("moment"))
