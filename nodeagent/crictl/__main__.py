import sys

from nodeagent.crictl.main import main

sys.exit(main(sys.argv[1:]))
