"""The control plane in one process: API server, scheduler and controllers, with certificates it makes itself."""
