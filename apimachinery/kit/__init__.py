"""What any daemon needs and no word of Kubernetes: clock, tasks, commands, files, config, logs, metrics, TLS."""
