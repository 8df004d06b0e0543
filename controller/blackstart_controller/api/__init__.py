"""The operators' HTTPS API, and `serve`, which wires the whole controller."""
