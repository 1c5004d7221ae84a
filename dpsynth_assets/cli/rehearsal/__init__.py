"""A contract's whole run on made-up rows, in a home of its own: `dpsynth rehearse`."""
