import sys

from nodeagent.proxy.main import main

sys.exit(main())
