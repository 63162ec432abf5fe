"""What the terminal UI does without a widget: the chat session, the history store, running tasks, managing models."""
