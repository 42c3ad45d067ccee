"""`python -m controlplane.scheduler.explain`."""

from controlplane.scheduler.explain.main import main

raise SystemExit(main())
