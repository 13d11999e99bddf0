"""Serving the page to one browser alone: who is let in, connections, and the server from its port to its end."""
