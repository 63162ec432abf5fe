"""The terminal UI: a Textual app. No engine logic; engine and history are used through their front doors."""
