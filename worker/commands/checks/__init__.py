"""What ``framewatch check`` looks at before a worker starts: each check by itself, none stops another."""
