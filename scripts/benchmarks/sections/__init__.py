"""The sections of ``scripts/bench``: each module measures one thing with ``run(parameters)``."""
