"""One module for each endpoint of the server."""
