"""`python -m nodeagent.explain`."""

from nodeagent.explain.main import main

raise SystemExit(main())
