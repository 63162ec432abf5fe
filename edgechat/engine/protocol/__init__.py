"""What crosses the socket between front ends and engine: frames, requests, events, errors."""
