"""What is noted on Endpoints and EndpointSlices: names that their controllers write, and proxies and DNS read
(k8s.io/api/discovery/v1/well_known_labels.go; annotations in core/v1).
"""

SERVICE_NAME = "kubernetes.io/service-name"
"""Label of a slice: the Service that it belongs to."""

HEADLESS = "service.kubernetes.io/headless"
"""Label, whatever its value: of a Service without a ClusterIP."""

LAST_CHANGE = "endpoints.kubernetes.io/last-change-trigger-time"
"""Annotation, RFC 3339: the earliest change since the write before it, of the Service or of a pod, that led to it."""
