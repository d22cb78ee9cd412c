"""Networks: plain modules with flat keyword arguments and no I/O. `contract` says what the parts of a model are."""
