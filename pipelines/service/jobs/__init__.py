"""Jobs of the service: queue, supervisor, and the backends that run them."""
