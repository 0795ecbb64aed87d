"""Real processes: servers, daemons, a browser."""
