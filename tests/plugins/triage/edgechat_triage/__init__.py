"""An example of a task that lives in a package of its own."""
