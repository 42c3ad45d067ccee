"""`python -m controlplane.apiserver`."""

from controlplane.apiserver.main import main

raise SystemExit(main())
