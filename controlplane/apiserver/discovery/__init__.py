"""What the server serves: discovery documents, the OpenAPI, the version."""
