"""Making a plan so: stages, writers, the record, the proof."""
