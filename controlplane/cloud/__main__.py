"""`python -m controlplane.cloud`."""

from controlplane.cloud.main import main

raise SystemExit(main())
