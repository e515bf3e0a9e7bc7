"""The command `bustd` and its subcommands; none of it is resident while the daemons run."""
