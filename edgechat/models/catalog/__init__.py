"""The catalog ``models.toml``: its entries, the names people write for models, and accepted licences."""
