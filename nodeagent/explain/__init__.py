"""Why a connection goes where it goes: what the kernels of the nodes hold, and a packet walked through it."""
