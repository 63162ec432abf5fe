"""Questions to the user's own manuals: found by search, answered with a quote, checked against what is cited."""
