"""`python -m controlplane.metricsserver`."""

from controlplane.metricsserver.main import main

raise SystemExit(main())
