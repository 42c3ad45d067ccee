"""rtnetlink spoken directly over a socket: imports nothing that costs start-up time."""
