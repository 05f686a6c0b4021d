"""Any model on any data, without a project: found, evaluated, its answers kept."""
