"""Where the API server keeps its objects: one interface, two stores (SQLite, etcd) and a watch cache."""
