"""Which limits were set here, and the periods for which counters of usage began anew."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _text(name: str, kind: type[sa.String] = sa.String, *, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, kind, nullable=False, primary_key=key)


def upgrade() -> None:
    """Make the tables; what earlier versions set is not known, and stays."""
    account = (_text("cluster", key=True), _text("account", key=True))
    op.create_table("limits", *account, _text("field", key=True), _text("names", sa.Text))
    account = (_text("cluster", key=True), _text("account", key=True))
    op.create_table("renewed", *account, _text("period"), _text("moment"))
