"""`python -m controlplane.controllers`."""

from controlplane.controllers.main import main

raise SystemExit(main())
