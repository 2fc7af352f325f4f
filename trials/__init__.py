"""What the service is put through: hostile input, damaged models, load. docs/reliability.md tells what came of it."""
