"""The task translate: translates texts and documents by segments, checks each, and flags visible faults."""
