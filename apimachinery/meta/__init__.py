"""The words every Kubernetes component shares: quantities, selectors, times, field paths, Status errors, patches.

Pure functions on plain values; no I/O, no knowledge of any kind. May import only `apimachinery.kit`.
"""
