"""Electrum servers as witnesses: wire, one server, many servers, header file."""
