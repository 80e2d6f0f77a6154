"""Where old payloads lie once they were taken from the database."""
