"""`python -m controlplane`: the whole control plane in one process."""

from controlplane.allinone.main import main

raise SystemExit(main())
