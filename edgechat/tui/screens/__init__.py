"""The screens, one module each; their base classes; the chat screen's actions."""
