"""`python -m controlplane.scheduler`."""

from controlplane.scheduler.main import main

raise SystemExit(main())
