"""A plan or a report as text, JSON, shell script: pure functions of data."""
