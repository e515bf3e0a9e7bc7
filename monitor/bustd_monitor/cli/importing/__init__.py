"""The configuration of other daemons, read and written again as a bustd.toml: for `bustd import-config`."""
