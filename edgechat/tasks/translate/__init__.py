"""Translation: nothing lost, nothing invented that a rule can see, and flags where a reader should look."""
