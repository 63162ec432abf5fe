"""A task over many records: reading records, running, the journal, kept answers, writing results."""
