"""Networks: plain modules with flat keyword arguments and no I/O. `contract` defines the parts of a model."""
