"""The front ends' side of the engine: start or find one, send a request, follow its events, resume after a crash."""
