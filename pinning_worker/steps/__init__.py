"""Parts of the story of a pin, each knowing one thing for itself; `lifecycle.py` tells the whole."""
