"""The engine process: its main function, loading and switching models, and the supervisor process that outlives it."""
