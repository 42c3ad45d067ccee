"""HTTP on the outside: TLS, reading requests, naming what they ask for, and writing answers."""
