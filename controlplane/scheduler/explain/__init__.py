"""`kubelab why pod`: every filter's verdict, every score, and the smallest change that would let a pod in."""
