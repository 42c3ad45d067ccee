from nodeagent.dns.main import main

raise SystemExit(main())
