"""Pure rules and value types: no async, no clock, no logging, no I/O. Time and randomness are arguments."""
