"""The link service's interface for programs, under `/api/v1/`."""
