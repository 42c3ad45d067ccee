"""What objects use of a namespace's quota: shared by admission, which charges, and by the controller, which counts.

k8s.io/apiserver/pkg/quota/v1, kubernetes pkg/quota/v1.
"""
