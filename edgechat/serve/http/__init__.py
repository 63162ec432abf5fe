"""HTTP without endpoints: limits, authentication, errors, the listener, and threads bridged to the event loop."""
