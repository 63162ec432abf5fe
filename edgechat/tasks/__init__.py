"""Tasks: a plugin takes a JSON record and returns JSON that fits its schema; batch runs, scoring, built-in tasks."""
