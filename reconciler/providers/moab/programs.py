"""The commands of MAM that are used here; docs/moab.md says of which names nobody is certain."""

READING = (
    "mam-list-accounts", "mam-list-users", "mam-list-funds", "mam-list-allocations", "mam-list-usagerecords",
    "mam-balance",
)  # fmt: skip
WRITING = (
    "mam-create-account", "mam-modify-account", "mam-delete-account", "mam-create-fund", "mam-delete-fund",
    "mam-deposit", "mam-withdraw",
)  # fmt: skip
#: by the setting that has them used
WHERE_CONFIGURED = {"mam-create-user": "create_users", "mam-create-organization": "create_organizations"}
