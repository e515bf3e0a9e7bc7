"""How both daemons read configuration: killer.toml, the protection in it, the schema, and the validation."""
