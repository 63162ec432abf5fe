"""The one place that says which edgechat this is."""

__version__ = "0.1.0"
