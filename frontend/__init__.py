"""The language: its names (`language`) and how Python functions become tile IR (`capture`)."""
