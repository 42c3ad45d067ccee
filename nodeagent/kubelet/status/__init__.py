"""The pod status: computed from the runtime's state, sent to the API."""
